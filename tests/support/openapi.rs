//! Holds answers against `openapi.yaml`.

use serde_json::{Map, Value, json};

/// Where a path's operations with methods stand that OpenAPI 3.1 does not know.
pub(crate) const OTHER_METHODS: &str = "x-additionalOperations";

/// The contract, read from the repository's root.
pub(crate) struct Contract {
    /// The document, with closed schemas.
    pub(crate) document: Value,
}

impl Contract {
    /// Reads the contract. Object schemas that do not say otherwise are closed here: an answer with a field that the
    /// contract does not name is one that its readers do not know of.
    pub(crate) fn load() -> Self {
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.yaml"));
        let mut document: Value =
            serde_yaml::from_str(&text.expect("openapi.yaml is there")).expect("openapi.yaml is YAML");
        close(&mut document["components"]["schemas"]);
        Self { document }
    }

    /// Whether the contract knows of such an answer: `path_template` as the contract writes it, the body of what is
    /// not JSON as a string. An answer outside of every operation is to be one of the two problems for that.
    pub(crate) fn check(
        &self,
        method: &str,
        path_template: &str,
        status: u16,
        content_type: &str,
        body: &Value,
    ) -> Result<(), String> {
        let path = &self.document["paths"][path_template];
        let operation = path[OTHER_METHODS].get(method).unwrap_or(&path[method.to_ascii_lowercase()]);
        let responses = &operation["responses"];
        let response = match (responses, status) {
            (Value::Object(responses), _) => responses.get(&status.to_string()),
            (_, 404) => self.document.pointer("/components/responses/UnknownRoute"),
            (_, 405) => self.document.pointer("/components/responses/MethodNotAllowed"),
            _ => None,
        };
        let response =
            response.ok_or_else(|| format!("{method} {path_template} does not answer {status}"))?;
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let media_type = self.resolve(response)["content"]
            .get(essence)
            .ok_or_else(|| format!("{method} {path_template} does not answer {status} as {essence:?}"))?;
        self.validate(&media_type["schema"], body)
            .map_err(|error| format!("{method} {path_template} answers {status} with {body}: {error}"))
    }

    /// Whether a value is what a schema of the contract says.
    pub(crate) fn validate(&self, schema: &Value, value: &Value) -> Result<(), String> {
        // References lead to `#/components/...`, so these stand beside the schema.
        let root = json!({ "allOf": [schema], "components": self.document["components"] });
        let validator = jsonschema::draft202012::options().should_validate_formats(true).build(&root);
        let validator = validator.map_err(|error| format!("not a schema: {error}"))?;
        validator.validate(value).map_err(|error| format!("{} at `{}`", error, error.instance_path()))
    }

    /// What an object or a reference stands for.
    pub(crate) fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value.get("$ref").and_then(Value::as_str) {
            Some(reference) => {
                let pointer = reference.strip_prefix('#').expect("a reference into this document");
                self.document.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
            }
            None => value,
        }
    }
}

/// Closes every object schema that lists properties and says nothing of further ones.
fn close(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if object.get("properties").is_some_and(Value::is_object) && lists_no_more(object) {
                object.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            object.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

fn lists_no_more(schema: &Map<String, Value>) -> bool {
    schema.contains_key("type") && !schema.contains_key("additionalProperties")
}
