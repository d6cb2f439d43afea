use serde_json::Value;

use super::super::openapi_json;

fn written() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json")
}

#[test]
fn docs_openapi_json_is_what_the_code_says() {
    let made = openapi_json();
    if std::env::var_os("HEIRLOOM_BLESS").is_some() {
        std::fs::write(written(), &made).unwrap();
    }
    let is = std::fs::read(written()).unwrap_or_default();
    assert!(
        is == made,
        "docs/openapi.json is old: HEIRLOOM_BLESS=1 cargo test -p heirloom-vault openapi"
    );
}

/// A route can only be written with its operation where nothing calls the router itself.
#[test]
fn no_route_is_made_beside_the_document() {
    fn look(folder: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                look(&path, found);
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                if text.contains(".route(") || text.contains(".nest(") {
                    found.push(path.file_name().unwrap().to_str().unwrap().to_owned());
                }
            }
        }
    }
    let mut found = Vec::new();
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    look(&source, &mut found);
    found.retain(|name| name != "tests.rs");
    found.sort_unstable();
    // The operator's port and the page for browsers are no part of the document.
    assert_eq!(
        found,
        [
            "ceremony_page.rs",
            "openapi.rs",
            "operator.rs",
            "signin_page.rs"
        ]
    );
}

#[test]
fn every_reference_leads_somewhere_and_every_operation_has_a_name_of_its_own() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    if name == "$ref" {
                        found.push(value.as_str().unwrap().to_owned());
                    }
                    references(value, found);
                }
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => (),
        }
    }
    let document: Value = serde_json::from_slice(&openapi_json()).unwrap();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 50);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    let mut names: Vec<_> = document["paths"]
        .as_object()
        .unwrap()
        .values()
        .flat_map(|path| path.as_object().unwrap().values())
        .map(|operation| operation["operationId"].as_str().unwrap())
        .collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}
