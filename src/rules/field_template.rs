//! Templates over a finished job's fields, for what follows it: `{entity_id}`, `{resource_type}`, `{payload.author_id}`.

use serde_json::Value;

use super::{SkipReason, payload_path::PayloadPath};
use crate::{
    job::Job,
    template::{TemplateError, braces},
};

const KNOWN: [&str; 3] = ["entity_id", "resource_type", "payload.<path>"];

/// A text that a job's fields complete. Each place is filled once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct FieldTemplate {
    parts: Vec<Part>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Literal(String),
    EntityId,
    ResourceType,
    Payload(PayloadPath),
}

impl FieldTemplate {
    pub(super) fn parse(text: &str) -> Result<Self, TemplateError> {
        let parts = braces::split(text)?.into_iter().map(Part::new).collect::<Result<_, _>>()?;
        Ok(Self { parts })
    }

    /// The text where it has no places.
    pub(super) fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Literal(literal)] => Some(literal),
            _ => None,
        }
    }

    /// What it takes from the payload.
    pub(super) fn payload_paths(&self) -> impl Iterator<Item = &PayloadPath> {
        self.parts.iter().filter_map(|part| match part {
            Part::Payload(path) => Some(path),
            Part::Literal(_) | Part::EntityId | Part::ResourceType => None,
        })
    }

    /// The completed text. A field must be a string or an integer, as an entity id must.
    pub(super) fn expand(&self, job: &Job) -> Result<String, SkipReason> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::EntityId => text.push_str(&job.entity.id),
                Part::ResourceType => text.push_str(&job.entity.resource_type),
                Part::Payload(path) => {
                    let value = job.payload.as_deref().and_then(|payload| path.find(payload));
                    match value.ok_or(SkipReason::MissingField)? {
                        Value::String(value) => text.push_str(value),
                        Value::Number(number) if !number.is_f64() => text.push_str(&number.to_string()),
                        _ => return Err(SkipReason::InvalidField),
                    }
                }
            }
        }
        Ok(text)
    }
}

impl Part {
    fn new(token: braces::Token<'_>) -> Result<Self, TemplateError> {
        match token {
            braces::Token::Literal(literal) => Ok(Self::Literal(literal)),
            braces::Token::Placeholder("entity_id") => Ok(Self::EntityId),
            braces::Token::Placeholder("resource_type") => Ok(Self::ResourceType),
            braces::Token::Placeholder(name) => match PayloadPath::parse(name) {
                Some(path) => Ok(Self::Payload(path)),
                None => Err(TemplateError::unknown(name, &KNOWN)),
            },
        }
    }
}
