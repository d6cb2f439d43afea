//! flagd's published cases (flagd-testbed, `gherkin/targeting.feature`, the ones of fractional v2), and ours.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::rules::flags;
use crate::{Asker, Reason, Rules, RulesError};

/// The value that one flag resolves to; `None` where flagd would use the caller's own.
fn resolve(name: &str, targeting: &Value, variants: &[&str], context: Value) -> Option<String> {
    let names: Map<String, Value> = variants
        .iter()
        .map(|variant| ((*variant).to_owned(), (*variant).into()))
        .collect();
    let file = json!({"flags": {name: {
        "state": "ENABLED", "variants": names, "defaultVariant": variants.last(), "targeting": targeting,
    }}});
    let flags = flags(file.to_string().as_bytes()).unwrap();
    let flag = flags.get(name).unwrap();
    let Value::Object(mut data) = context else {
        unreachable!()
    };
    data.insert("$flagd".to_owned(), json!({"flagKey": name}));
    let (variant, _) = flag.resolve(&data, &mut None);
    variant.map(|variant| flag.value(&variant).unwrap().as_str().unwrap().to_owned())
}

const SUITS: &[&str] = &["clubs", "diamonds", "hearts", "spades", "wild"];

fn suits(key: &Value) -> Value {
    json!({"fractional": [key, ["clubs", 25], ["diamonds", 25], ["hearts", 25], ["spades", 25]]})
}

#[test]
fn fractional_gives_what_flagd_publishes() {
    let key = json!({"cat": [{"var": "$flagd.flagKey"}, {"var": "user.name"}]});
    for (name, suit) in [
        ("jack", "hearts"),
        ("queen", "spades"),
        ("ten", "clubs"),
        ("nine", "diamonds"),
        ("3", "clubs"),
    ] {
        let context = json!({"user": {"name": name}});
        let got = resolve("fractional-flag", &suits(&key), SUITS, context);
        assert_eq!(got.as_deref(), Some(suit), "{name}");
    }
    let key = json!({"cat": ["shared-seed", {"var": "user.name"}]});
    for (name, suit) in [
        ("seven", "hearts"),
        ("eight", "diamonds"),
        ("nine", "clubs"),
        ("two", "spades"),
    ] {
        for flag in [
            "fractional-flag-A-shared-seed",
            "fractional-flag-B-shared-seed",
        ] {
            let context = json!({"user": {"name": name}});
            let got = resolve(flag, &suits(&key), SUITS, context);
            assert_eq!(got.as_deref(), Some(suit), "{name}");
        }
    }
}

#[test]
fn fractional_without_a_key_goes_by_flag_and_asker() {
    let rule = json!({"fractional": [["heads"], ["tails", 1]]});
    for (key, side) in [("jon@company.com", "heads"), ("jane@company.com", "tails")] {
        let context = json!({"targetingKey": key});
        let got = resolve(
            "fractional-flag-shorthand",
            &rule,
            &["heads", "tails", "draw"],
            context,
        );
        assert_eq!(got.as_deref(), Some(side), "{key}");
    }
    let got = resolve(
        "fractional-flag-shorthand",
        &rule,
        &["heads", "tails", "draw"],
        json!({}),
    );
    assert_eq!(got.as_deref(), Some("draw"), "nobody is no key");
}

#[test]
fn fractional_takes_rules_as_variants_and_weights() {
    let by_key = json!({"var": "targetingKey"});
    let premium =
        |yes: Value, no: Value| json!({"if": [{"==": [{"var": "tier"}, "premium"]}, yes, no]});
    let variant = json!({"fractional": [by_key, [premium("premium".into(), "standard".into()), 50], ["standard", 50]]});
    let weight =
        json!({"fractional": [by_key, ["red", premium(100.into(), 0.into())], ["blue", 10]]});
    for (key, tier, one, two) in [
        ("jon@company.com", "premium", "premium", "red"),
        ("jon@company.com", "basic", "standard", "blue"),
        ("user1", "premium", "standard", "red"),
        ("user1", "basic", "standard", "blue"),
    ] {
        let context = json!({"targetingKey": key, "tier": tier});
        let variants = ["premium", "standard", "fallback"];
        let got = resolve("nested", &variant, &variants, context.clone());
        assert_eq!(got.as_deref(), Some(one), "{key} {tier}");
        let got = resolve("nested", &weight, &["red", "blue", "fallback"], context);
        assert_eq!(got.as_deref(), Some(two), "{key} {tier}");
    }
    let when = |no: u32, yes: u32| json!({"if": [{"fractional": [[false, no], [true, yes]]}, "big", "small"]});
    let context = json!({"targetingKey": "some-targeting-key"});
    let got = resolve("when", &when(0, 100), &["big", "small"], context.clone());
    assert_eq!(got.as_deref(), Some("big"));
    let got = resolve("when", &when(100, 0), &["big", "small"], context);
    assert_eq!(got.as_deref(), Some("small"));
}

#[test]
fn versions_compare_as_flagd_publishes() {
    let ver = |sign: &str, with: &str| json!({"sem_ver": [{"var": "version"}, sign, with]});
    let rule = json!({"if": [ver("=", "2.0.0"), "equal", ver(">", "2.0.0"), "greater", ver("<", "2.0.0"), "lesser", "none"]});
    let variants = ["equal", "greater", "lesser", "none"];
    for (version, word) in [
        ("2.0.0", "equal"),
        ("2.1.0", "greater"),
        ("1.9.0", "lesser"),
        ("2.0.0-alpha", "lesser"),
        ("2.0.0.0", "none"),
    ] {
        let got = resolve("v", &rule, &variants, json!({"version": version}));
        assert_eq!(got.as_deref(), Some(word), "{version}");
    }
    let rule = json!({"if": [ver("~", "3.0.0"), "minor", ver("^", "3.0.0"), "major", "none"]});
    for (version, word) in [("3.0.1", "minor"), ("3.1.0", "major"), ("4.0.0", "none")] {
        let got = resolve(
            "v",
            &rule,
            &["minor", "major", "none"],
            json!({"version": version}),
        );
        assert_eq!(got.as_deref(), Some(word), "{version}");
    }
    let rule = json!({"if": [ver("^", "1"), "match", "no-match"]});
    for (version, word) in [
        (json!("1.5.0"), "match"),
        (json!("V1"), "match"),
        (json!(1), "match"),
        (json!("2.0.0"), "no-match"),
    ] {
        let got = resolve(
            "v",
            &rule,
            &["match", "no-match"],
            json!({"version": version}),
        );
        assert_eq!(got.as_deref(), Some(word), "{version}");
    }
}

#[test]
fn text_begins_and_ends_as_flagd_publishes() {
    let rule = json!({"if": [
        {"starts_with": [{"var": "id"}, "abc"]}, "prefix",
        {"if": [{"ends_with": [{"var": "id"}, "xyz"]}, "postfix", {"if": [{"ends_with": [{"var": "id"}, 3]}, "fail", "none"]}]},
    ]});
    for (id, word) in [
        ("abcdef", "prefix"),
        ("uvwxyz", "postfix"),
        ("abcxyz", "prefix"),
        ("lmnopq", "none"),
        ("3", "none"),
    ] {
        let got = resolve(
            "s",
            &rule,
            &["prefix", "postfix", "none"],
            json!({"id": id}),
        );
        assert_eq!(got.as_deref(), Some(word), "{id}");
    }
}

#[test]
fn an_operator_that_fails_gives_the_default_variant() {
    let when = |condition: Value| json!({"if": [condition, "true", "false"]});
    let version = json!({"var": "version"});
    for (rule, value) in [
        (
            json!({"sem_ver": [version, "=", "1.0.0"]}),
            json!("not-a-version"),
        ),
        (
            json!({"sem_ver": [version, "===", "1.0.0"]}),
            json!("1.0.0"),
        ),
        (
            json!({"starts_with": [{"var": "num"}, "abc"]}),
            json!("1.0.0"),
        ),
        (
            json!({"ends_with": [{"var": "num"}, "xyz"]}),
            json!("1.0.0"),
        ),
        (
            json!({"fractional": [{"var": "missing"}, ["one", 50], ["two", 50]]}),
            json!("1"),
        ),
        (
            json!({"fractional": ["key", ["one", 0], ["two", 0]]}),
            json!("1"),
        ),
    ] {
        let context = json!({"version": value, "num": 3});
        let got = resolve(
            "e",
            &when(rule.clone()),
            &["true", "false", "fallback"],
            context,
        );
        assert_eq!(got.as_deref(), Some("fallback"), "{rule}");
    }
    // A negative weight is none.
    let rule = json!({"fractional": ["key", ["one", -50], ["two", 100]]});
    assert_eq!(
        resolve("n", &rule, &["one", "two"], json!({})).as_deref(),
        Some("two")
    );
    // A variant that does not exist is flagd's error; one that is null its default.
    let rule = json!({"if": [true, "three", "one"]});
    assert_eq!(resolve("m", &rule, &["one", "two"], json!({})), None);
    let rule = json!({"if": [true, null, "one"]});
    assert_eq!(
        resolve("z", &rule, &["one", "two"], json!({})).as_deref(),
        Some("two")
    );
}

#[test]
fn operations_answer_as_jsonlogic_does() {
    let cases = [
        (json!({"==": [1, "1"]}), true),
        (json!({"==": [1, 1.0]}), true),
        (json!({"===": [1, 1.0]}), true),
        (json!({"===": [1, "1"]}), false),
        (json!({"==": [0, false]}), true),
        (json!({"==": [null, 0]}), false),
        (json!({"!=": [null, null]}), false),
        (json!({"!==": ["a", "b"]}), true),
        (json!({"<": [1, 2, 3]}), true),
        (json!({"<": [1, 3, 2]}), false),
        (json!({"<=": [1, 1, 3]}), true),
        (json!({">": ["10", 9]}), true),
        (json!({">": ["a", 9]}), false),
        (json!({">=": ["b", "a"]}), true),
        (json!({"in": ["an", "android"]}), true),
        (json!({"in": ["ios", ["android", "ios"]]}), true),
        (json!({"in": ["io", ["android", "ios"]]}), false),
        (json!({"in": [1, "1"]}), false),
        (json!({"!": [[]]}), true),
        (json!({"!!": ["0"]}), true),
        (json!({"!": {"var": "nothing"}}), true),
        (json!({"and": [true, "x", 0]}), false),
        (json!({"or": [0, "", "x"]}), true),
        (json!({"var": ["nothing", true]}), true),
        (json!({"?:": [false, false, true]}), true),
        (json!({"==": [{"cat": ["a", 1, true]}, "a1true"]}), true),
    ];
    for (rule, right) in cases {
        let rule = json!({"if": [rule, "yes", "no"]});
        let got = resolve("c", &rule, &["yes", "no", "none"], json!({}));
        assert_eq!(
            got.as_deref(),
            Some(if right { "yes" } else { "no" }),
            "{rule}"
        );
    }
}

fn rules(flags: &Value) -> Result<Rules, RulesError> {
    Rules::parse(json!({ "flags": flags }).to_string().as_bytes())
}

fn flag(state: &str, default: &str, targeting: &Value) -> Value {
    json!({"state": state, "variants": {"on": true, "off": false}, "defaultVariant": default, "targeting": targeting})
}

#[test]
fn a_kill_switch_outweighs_every_rule() {
    let everybody = json!({"if": [true, "on", "on"]});
    let rules = rules(&json!({"passkey": flag("DISABLED", "on", &everybody)})).unwrap();
    let decision = rules.decide("passkey", &Asker::default());
    assert!(!decision.offered);
    assert_eq!(decision.reason, Reason::KillSwitch);
    // What no rule names is offered.
    assert!(rules.decide("password", &Asker::default()).offered);
}

#[test]
fn a_decision_explains_itself_part_by_part() {
    let rule = json!({"if": [{"in": [{"var": "platform"}, ["android", "ios"]]}, {"fractional": [["on", 10], ["off", 90]]}, "off"]});
    let rules = rules(&json!({"passkey": flag("ENABLED", "off", &rule)})).unwrap();
    let asker = Asker {
        key: Some("an account".to_owned()),
        platform: Some("android".to_owned()),
        ..Asker::default()
    };
    let explained = rules.explain("passkey", &asker);
    assert_eq!(explained.decision, rules.decide("passkey", &asker));
    let steps: Vec<_> = explained
        .steps
        .iter()
        .map(|step| (step.depth, step.rule.as_str(), step.result.as_str()))
        .collect();
    let off = steps.first().unwrap().2;
    assert!(matches!(off, "\"on\"" | "\"off\""));
    assert_eq!(
        steps.get(1),
        Some(&(
            1,
            r#"{"in":[{"var":"platform"},["android","ios"]]}"#,
            "true"
        ))
    );
    assert_eq!(
        steps.get(2),
        Some(&(2, r#"{"var":"platform"}"#, "\"android\""))
    );
    assert_eq!(steps.last().unwrap().2, off);
}

#[test]
fn rules_that_make_no_sense_are_refused_with_their_place() {
    let on = |targeting: Value| flag("ENABLED", "on", &targeting);
    for (flags, place) in [
        (json!([]), "flags"),
        (json!({"": on(json!({}))}), "flags"),
        (json!({"a": 1}), "flags.a"),
        (
            json!({"a": {"state": "enabled", "variants": {"on": true}, "defaultVariant": "on"}}),
            "flags.a.state",
        ),
        (
            json!({"a": {"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "off"}}),
            "flags.a.defaultVariant",
        ),
        (
            json!({"a": {"state": "ENABLED", "variants": {"on": "true"}, "defaultVariant": "on"}}),
            "flags.a.variants",
        ),
        (
            json!({"a": {"state": "ENABLED", "variants": {"on": true}, "defaultVariant": "on", "targetting": {}}}),
            "flags.a",
        ),
        (
            json!({"a": on(json!({"map": [[1], {"var": ""}]}))}),
            "flags.a.targeting",
        ),
        (json!({"a": on(json!({"if": []}))}), "flags.a.targeting"),
        (json!({"a": on(json!({"==": [1]}))}), "flags.a.targeting"),
        (json!({"a": on(json!({"var": 1}))}), "flags.a.targeting"),
        (
            json!({"a": on(json!({"==": [1, 1], "!=": [1, 1]}))}),
            "flags.a.targeting",
        ),
        (
            json!({"a": on(json!({"fractional": []}))}),
            "flags.a.targeting",
        ),
        (
            json!({"a": on(json!({"fractional": [["on", 1, 2]]}))}),
            "flags.a.targeting",
        ),
        (
            json!({"a": on(json!({"$ref": "none"}))}),
            "flags.a.targeting",
        ),
    ] {
        match rules(&flags) {
            Err(RulesError::Wrong { place: at, .. }) => assert_eq!(at, place, "{flags}"),
            other => panic!("{flags}: {other:?}"),
        }
    }
}

#[test]
fn a_name_that_stands_twice_is_refused() {
    let text = r#"{"flags":{"a":{"state":"DISABLED","state":"ENABLED","variants":{"on":true},"defaultVariant":"on"}}}"#;
    let error = Rules::parse(text.as_bytes()).unwrap_err();
    assert!(error.to_string().contains("stands there twice"), "{error}");
}

#[test]
fn named_rules_are_put_in_and_cannot_name_others() {
    let file = |evaluators: Value| {
        json!({
            "$schema": "https://flagd.dev/schema/v0/flags.json",
            "metadata": {"team": "us"},
            "$evaluators": evaluators,
            "flags": {"a": flag("ENABLED", "off", &json!({"if": [{"$ref": "phones"}, "on"]}))},
        })
    };
    let phones = json!({"in": [{"var": "platform"}, ["android", "ios"]]});
    let rules = Rules::parse(file(json!({"phones": phones})).to_string().as_bytes()).unwrap();
    let on = |platform: &str| {
        let asker = Asker {
            platform: Some(platform.to_owned()),
            ..Asker::default()
        };
        rules.decide("a", &asker).offered
    };
    assert!(on("ios"));
    assert!(!on("linux"));
    let round = json!({"phones": {"and": [{"$ref": "phones"}, {"$ref": "phones"}]}});
    assert!(Rules::parse(file(round).to_string().as_bytes()).is_err());
}

#[test]
fn rules_that_are_too_much_are_refused() {
    assert_eq!(
        Rules::parse(&vec![b' '; crate::MAX_RULES_BYTES + 1]).unwrap_err(),
        RulesError::TooLong
    );
    let deep = "[".repeat(100_000);
    assert!(Rules::parse(deep.as_bytes()).is_err());
    let deep = format!("{}1{}", r#"{"!":"#.repeat(60), "}".repeat(60));
    let text = format!(
        r#"{{"flags":{{"a":{{"state":"ENABLED","variants":{{"on":true}},"defaultVariant":"on","targeting":{deep}}}}}}}"#
    );
    assert!(Rules::parse(text.as_bytes()).is_err());
    let wide = format!(r#"{{"flags":[{}1]}}"#, "1,".repeat(30_000));
    assert!(matches!(
        Rules::parse(wide.as_bytes()),
        Err(RulesError::Json(_))
    ));
    // Small in the file, large once every name is put in.
    let big: Vec<_> = (0..64).collect();
    let refs: Vec<_> = (0..64).map(|_| json!({"$ref": "big"})).collect();
    let flags: Map<_, _> = (0..200)
        .map(|number| {
            (
                format!("f{number}"),
                flag("ENABLED", "on", &json!({"and": refs})),
            )
        })
        .collect();
    let file = json!({"$evaluators": {"big": {"and": big}}, "flags": flags});
    let error = Rules::parse(file.to_string().as_bytes()).unwrap_err();
    assert!(error.to_string().contains("too many"), "{error}");
}

fn percent(share: u32) -> Rules {
    let rule = json!({"fractional": [["on", share], ["off", 100 - share]]});
    rules(&json!({"passkey": flag("ENABLED", "off", &rule)})).unwrap()
}

proptest! {
    /// Who has it keeps it while the percentage grows: nobody flickers.
    #[test]
    fn a_growing_percentage_takes_nobody_out(key in "\\PC{0,40}", small in 0_u32..=100, more in 0_u32..=100) {
        let asker = Asker { key: Some(key), ..Asker::default() };
        let before = percent(small).decide("passkey", &asker).offered;
        let after = percent(small.max(more)).decide("passkey", &asker).offered;
        prop_assert!(!before || after);
        prop_assert!(!percent(0).decide("passkey", &asker).offered);
        prop_assert!(percent(100).decide("passkey", &asker).offered);
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Rules::parse(&bytes);
    }
}

#[test]
fn fuzz_corpus_every_file_of_rules_is_replayed() {
    let folder =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/rollout_rules");
    let mut read = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let rules = Rules::parse(&std::fs::read(entry.unwrap().path()).unwrap()).unwrap();
        for name in rules.names() {
            let asker = Asker::default();
            assert_eq!(
                rules.decide(name, &asker),
                rules.explain(name, &asker).decision
            );
        }
        read += 1;
    }
    assert!(read >= 3, "the seeds are gone");
}
