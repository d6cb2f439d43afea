//! Any bytes as a signed or plain file of rules: no panic, no long work, and a decision is the one that is explained.
#![no_main]

use heirloom_rollout::{Asker, Rules};
use heirloom_vault_api::Stamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let rules = Stamp::of_file(bytes).map_or(bytes, |(stamp, rules)| {
        let _ = stamp.verify();
        rules
    });
    let Ok(rules) = Rules::parse(rules) else {
        return;
    };
    let asker = Asker {
        key: Some("gRzHzVmhSRK0nPlu0r7zbQ".into()),
        tenant: None,
        region: Some("eu".into()),
        platform: Some("linux".into()),
        version: Some("1.2.3-rc.1".into()),
    };
    for name in rules.names() {
        for asker in [&asker, &Asker::default()] {
            assert_eq!(
                rules.decide(name, asker),
                rules.explain(name, asker).decision
            );
        }
    }
});
