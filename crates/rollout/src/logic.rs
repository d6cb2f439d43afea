//! `JsonLogic` without loops, and flagd's four operators.
//!
//! A rule is checked and compiled when it is read. Evaluating it visits each of its parts at most once:
//! there is no `map`, `filter`, `reduce`, `all`, `some`, `none`, and nothing that matches patterns.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use crate::buckets;
use crate::version::Version;

/// The longest text that `cat` makes.
const MAX_TEXT_BYTES: usize = 4096;
/// What is kept of a rule or a value in an explanation.
const SHOWN_CHARS: usize = 160;

/// A checked rule.
#[derive(Debug)]
pub(crate) struct Expr {
    what: What,
    /// As it was written, for explanations.
    text: String,
}

#[derive(Debug)]
enum What {
    Value(Value),
    List(Vec<Expr>),
    Var(String, Option<Box<Expr>>),
    Op(Op, Vec<Expr>),
    Fractional(Option<Box<Expr>>, Vec<(Expr, Option<Expr>)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    If,
    Equal,
    StrictEqual,
    NotEqual,
    StrictNotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
    Not,
    IsTrue,
    In,
    Cat,
    StartsWith,
    EndsWith,
    SemVer,
}

/// How many arguments each takes.
const OPS: &[(&str, Op, usize, usize)] = &[
    ("if", Op::If, 1, 64),
    ("?:", Op::If, 3, 3),
    ("==", Op::Equal, 2, 2),
    ("===", Op::StrictEqual, 2, 2),
    ("!=", Op::NotEqual, 2, 2),
    ("!==", Op::StrictNotEqual, 2, 2),
    ("<", Op::Less, 2, 3),
    ("<=", Op::LessOrEqual, 2, 3),
    (">", Op::Greater, 2, 2),
    (">=", Op::GreaterOrEqual, 2, 2),
    ("and", Op::And, 1, 64),
    ("or", Op::Or, 1, 64),
    ("!", Op::Not, 1, 1),
    ("!!", Op::IsTrue, 1, 1),
    ("in", Op::In, 2, 2),
    ("cat", Op::Cat, 1, 64),
    ("starts_with", Op::StartsWith, 2, 2),
    ("ends_with", Op::EndsWith, 2, 2),
    ("sem_ver", Op::SemVer, 3, 3),
];

/// One part of a rule that was evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// How deep it stands in its rule.
    pub depth: usize,
    /// The part, as it was written; long ones are cut.
    pub rule: String,
    /// What it gave, or why it gave nothing.
    pub result: String,
}

/// A rule that cannot be answered for this asker: flagd answers with the default variant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoAnswer(pub(crate) &'static str);

impl Expr {
    /// Checks a rule and takes it apart. The error says what is wrong with it.
    pub(crate) fn compile(rule: &Value) -> Result<Self, String> {
        let what = match rule {
            Value::Array(parts) => What::List(compile_all(parts)?),
            Value::Object(map) => compile_operation(map)?,
            value => What::Value(value.clone()),
        };
        Ok(Self {
            what,
            text: shown(rule),
        })
    }

    /// Evaluates over `data`. Each part that was looked at goes to `steps`, the outer ones first.
    pub(crate) fn evaluate(
        &self,
        data: &Map<String, Value>,
        depth: usize,
        steps: &mut Option<Vec<Step>>,
    ) -> Result<Value, NoAnswer> {
        if let What::Value(value) = &self.what {
            return Ok(value.clone());
        }
        let place = steps.as_mut().map(|steps| {
            steps.push(Step {
                depth,
                rule: self.text.clone(),
                result: String::new(),
            });
            steps.len() - 1
        });
        let result = self.what.evaluate(data, depth + 1, steps);
        if let (Some(place), Some(steps)) = (place, steps.as_mut())
            && let Some(step) = steps.get_mut(place)
        {
            step.result = match &result {
                Ok(value) => shown(value),
                Err(NoAnswer(why)) => format!("no answer: {why}"),
            };
        }
        result
    }
}

fn compile_all(parts: &[Value]) -> Result<Vec<Expr>, String> {
    parts.iter().map(Expr::compile).collect()
}

fn compile_operation(map: &Map<String, Value>) -> Result<What, String> {
    let mut members = map.iter();
    let (Some((name, args)), None) = (members.next(), members.next()) else {
        return Err("an operation has exactly one name".to_owned());
    };
    let args = match args {
        Value::Array(args) => args.as_slice(),
        one => std::slice::from_ref(one),
    };
    match name.as_str() {
        "var" => {
            let (Some(Value::String(path)), None | Some(_), None) =
                (args.first(), args.get(1), args.get(2))
            else {
                return Err(
                    "\"var\" takes a name, and what stands for it where it is missing".to_owned(),
                );
            };
            let other = args.get(1).map(Expr::compile).transpose()?;
            Ok(What::Var(path.clone(), other.map(Box::new)))
        }
        "fractional" => compile_fractional(args),
        _ => {
            let Some((_, op, least, most)) = OPS.iter().find(|(known, ..)| known == name) else {
                return Err(format!("\"{}\" is no operation here", cut(name)));
            };
            if args.len() < *least || args.len() > *most {
                return Err(format!("\"{name}\" has {} arguments", args.len()));
            }
            Ok(What::Op(*op, compile_all(args)?))
        }
    }
}

fn compile_fractional(args: &[Value]) -> Result<What, String> {
    let wrong = || "\"fractional\" takes buckets: [VARIANT, WEIGHT]".to_owned();
    let (key, buckets) = match args.split_first() {
        None => return Err(wrong()),
        Some((Value::Array(_), _)) => (None, args),
        Some((key, buckets)) => (Some(Box::new(Expr::compile(key)?)), buckets),
    };
    if buckets.is_empty() || buckets.len() > 64 {
        return Err(wrong());
    }
    let bucket = |bucket: &Value| match bucket.as_array().map(Vec::as_slice) {
        Some([variant]) => Ok((Expr::compile(variant)?, None)),
        Some([variant, weight]) => Ok((Expr::compile(variant)?, Some(Expr::compile(weight)?))),
        _ => Err(wrong()),
    };
    let buckets: Result<Vec<_>, String> = buckets.iter().map(bucket).collect();
    Ok(What::Fractional(key, buckets?))
}

type Steps<'a> = &'a mut Option<Vec<Step>>;

impl What {
    fn evaluate(
        &self,
        data: &Map<String, Value>,
        depth: usize,
        steps: Steps<'_>,
    ) -> Result<Value, NoAnswer> {
        match self {
            Self::Value(value) => Ok(value.clone()),
            Self::List(parts) => {
                let values: Result<Vec<_>, _> = parts
                    .iter()
                    .map(|part| part.evaluate(data, depth, steps))
                    .collect();
                values.map(Value::Array)
            }
            Self::Var(path, other) => match look_up(data, path) {
                Some(value) => Ok(value.clone()),
                None => match other {
                    Some(other) => other.evaluate(data, depth, steps),
                    None => Ok(Value::Null),
                },
            },
            Self::Op(op, args) => operate(*op, args, data, depth, steps),
            Self::Fractional(key, buckets) => {
                fractional(key.as_deref(), buckets, data, depth, steps)
            }
        }
    }
}

/// `a.b` within objects; the empty name is everything.
fn look_up<'a>(data: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let mut parts = path.split('.');
    let mut value = data.get(parts.next()?)?;
    for part in parts {
        value = value.as_object()?.get(part)?;
    }
    (!value.is_null()).then_some(value)
}

fn operate(
    op: Op,
    args: &[Expr],
    data: &Map<String, Value>,
    depth: usize,
    steps: Steps<'_>,
) -> Result<Value, NoAnswer> {
    match op {
        Op::If => return choose(args, data, depth, steps),
        Op::And | Op::Or => {
            let mut last = Value::Null;
            for arg in args {
                last = arg.evaluate(data, depth, steps)?;
                if is_true(&last) == (op == Op::Or) {
                    break;
                }
            }
            return Ok(last);
        }
        _ => (),
    }
    let values: Result<Vec<_>, _> = args
        .iter()
        .map(|arg| arg.evaluate(data, depth, steps))
        .collect();
    let values = values?;
    match (op, values.as_slice()) {
        (Op::Equal, [one, two]) => Ok(is_loosely_equal(one, two).into()),
        (Op::NotEqual, [one, two]) => Ok((!is_loosely_equal(one, two)).into()),
        (Op::StrictEqual, [one, two]) => Ok(is_strictly_equal(one, two).into()),
        (Op::StrictNotEqual, [one, two]) => Ok((!is_strictly_equal(one, two)).into()),
        (Op::Less | Op::LessOrEqual | Op::Greater | Op::GreaterOrEqual, values) => {
            let is_right = |one: &Value, two: &Value| {
                compare(one, two).is_some_and(|order| match op {
                    Op::Less => order.is_lt(),
                    Op::LessOrEqual => order.is_le(),
                    Op::Greater => order.is_gt(),
                    _ => order.is_ge(),
                })
            };
            Ok(values.is_sorted_by(is_right).into())
        }
        (Op::Not, [value]) => Ok((!is_true(value)).into()),
        (Op::IsTrue, [value]) => Ok(is_true(value).into()),
        (Op::In, [part, Value::Array(list)]) => {
            Ok(list.iter().any(|one| is_strictly_equal(one, part)).into())
        }
        (Op::In, [Value::String(part), Value::String(text)]) => Ok(text.contains(part).into()),
        (Op::In, _) => Ok(false.into()),
        (Op::Cat, values) => cat(values),
        (Op::StartsWith, [Value::String(text), Value::String(part)]) => {
            Ok(text.starts_with(part).into())
        }
        (Op::EndsWith, [Value::String(text), Value::String(part)]) => {
            Ok(text.ends_with(part).into())
        }
        (Op::StartsWith | Op::EndsWith, _) => Err(NoAnswer("both must be text")),
        (Op::SemVer, [one, Value::String(sign), two]) => sem_ver(one, sign, two),
        (Op::SemVer, _) => Err(NoAnswer("between two versions stands a sign")),
        _ => Err(NoAnswer("the arguments do not fit")),
    }
}

fn choose(
    args: &[Expr],
    data: &Map<String, Value>,
    depth: usize,
    steps: Steps<'_>,
) -> Result<Value, NoAnswer> {
    let (pairs, last) = args.as_chunks::<2>();
    for [condition, then] in pairs {
        if is_true(&condition.evaluate(data, depth, steps)?) {
            return then.evaluate(data, depth, steps);
        }
    }
    match last {
        [other] => other.evaluate(data, depth, steps),
        _ => Ok(Value::Null),
    }
}

fn fractional(
    key: Option<&Expr>,
    buckets: &[(Expr, Option<Expr>)],
    data: &Map<String, Value>,
    depth: usize,
    steps: Steps<'_>,
) -> Result<Value, NoAnswer> {
    let key = match key {
        None => Value::Null,
        Some(key) => key.evaluate(data, depth, steps)?,
    };
    let key = match key {
        Value::String(key) => key,
        Value::Null => {
            let text = |path| look_up(data, path).and_then(Value::as_str);
            let asker = text("targetingKey").ok_or(NoAnswer("there is no targetingKey"))?;
            let flag = text("$flagd.flagKey").unwrap_or_default();
            format!("{flag}{asker}")
        }
        _ => return Err(NoAnswer("what buckets are chosen by must be text")),
    };
    let mut weights = Vec::with_capacity(buckets.len());
    for (_, weight) in buckets {
        let weight = match weight {
            None => 1,
            Some(weight) => match weight.evaluate(data, depth, steps)? {
                Value::Number(number) if number.is_u64() => number.as_u64().unwrap_or_default(),
                Value::Number(number) if number.is_i64() => 0,
                _ => return Err(NoAnswer("a weight must be a whole number")),
            },
        };
        weights.push(weight);
    }
    let picked = buckets::pick(&key, &weights)
        .and_then(|picked| buckets.get(picked))
        .ok_or(NoAnswer(
            "the weights must be from 1 to 2147483647 together",
        ))?;
    let (variant, _) = picked;
    variant.evaluate(data, depth, steps)
}

fn cat(values: &[Value]) -> Result<Value, NoAnswer> {
    let mut text = String::new();
    for value in values {
        match value {
            Value::String(part) => text.push_str(part),
            Value::Number(number) => text.push_str(&number.to_string()),
            Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
            Value::Null => (),
            Value::Array(_) | Value::Object(_) => {
                return Err(NoAnswer("only text and numbers can be joined"));
            }
        }
        if text.len() > MAX_TEXT_BYTES {
            return Err(NoAnswer("the text gets too long"));
        }
    }
    Ok(Value::String(text))
}

fn sem_ver(one: &Value, sign: &str, two: &Value) -> Result<Value, NoAnswer> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let not_one = NoAnswer("one of them is no version");
    let (Some(one), Some(two)) = (text(one), text(two)) else {
        return Err(not_one);
    };
    let (Some(one), Some(two)) = (Version::parse(&one), Version::parse(&two)) else {
        return Err(not_one);
    };
    let order = one.compare(&two);
    Ok(Value::Bool(match sign {
        "=" => order.is_eq(),
        "!=" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        ">=" => order.is_ge(),
        "^" => one.major == two.major,
        "~" => (one.major, one.minor) == (two.major, two.minor),
        _ => return Err(NoAnswer("this sign does not compare versions")),
    }))
}

/// `JsonLogic`'s truth: of lists the empty one is false, too.
fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64().is_some_and(|number| number != 0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(_) => true,
    }
}

/// A number as JavaScript takes it from other things.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        Value::Null => Some(0.0),
        Value::String(text) if text.trim().is_empty() => Some(0.0),
        Value::String(text) => text
            .trim()
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

fn compare(one: &Value, two: &Value) -> Option<Ordering> {
    if let (Value::String(one), Value::String(two)) = (one, two) {
        return Some(one.cmp(two));
    }
    number(one)?.partial_cmp(&number(two)?)
}

fn is_strictly_equal(one: &Value, two: &Value) -> bool {
    match (one, two) {
        // 1 and 1.0 are one number.
        (Value::Number(one), Value::Number(two)) => one == two || one.as_f64() == two.as_f64(),
        (Value::Array(_) | Value::Object(_), _) => false,
        (one, two) => one == two,
    }
}

fn is_loosely_equal(one: &Value, two: &Value) -> bool {
    match (one, two) {
        (Value::Null, Value::Null) => true,
        (Value::Null, _) | (_, Value::Null) => false,
        (Value::String(one), Value::String(two)) => one == two,
        (one, two) => {
            is_strictly_equal(one, two)
                || matches!((number(one), number(two)), (Some(one), Some(two)) if one.total_cmp(&two).is_eq())
        }
    }
}

fn shown(value: &Value) -> String {
    cut(&value.to_string())
}

fn cut(text: &str) -> String {
    if text.chars().count() <= SHOWN_CHARS {
        return text.to_owned();
    }
    text.chars().take(SHOWN_CHARS).chain(['…']).collect()
}
