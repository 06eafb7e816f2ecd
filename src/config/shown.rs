//! A configuration as people may see it: what is secret in it is hidden. Of a URL nothing is shown but whom it leads to, for
//! passwords, keys and tokens stand in every other part of URLs.

use serde_yaml::{Mapping, Value};
use url::Url;

use super::Written;

const HIDDEN: &str = "(hidden)";
/// Fields that are secret wherever they stand. The hash of a key is no key, but nobody has to see it.
const SECRET: [&str; 3] = ["value", "bearer", "hash"];
/// Fields that hold a URL, or several.
const URLS: [&str; 4] = ["url", "urls", "endpoint", "health"];

impl Written {
    /// Every section by its name, as YAML.
    pub fn shown(&self) -> Vec<(String, String)> {
        let text = |section: &Value| serde_yaml::to_string(&shown(section, "")).unwrap_or_default();
        self.sections().map(|(name, section)| (name.to_owned(), text(section))).collect()
    }
}

/// `name`: of the field that the value stands in.
fn shown(value: &Value, name: &str) -> Value {
    match value {
        Value::Mapping(fields) => {
            let field = |(key, inner): (&Value, &Value)| {
                let own = key.as_str().unwrap_or_default();
                let inner = match name {
                    "headers" => HIDDEN.into(),
                    name if name.ends_with("_file") => shown(inner, name),
                    _ => shown(inner, own),
                };
                (key.clone(), inner)
            };
            Value::Mapping(fields.iter().map(field).collect::<Mapping>())
        }
        Value::Sequence(items) => Value::Sequence(items.iter().map(|item| shown(item, name)).collect()),
        _ if SECRET.contains(&name) => HIDDEN.into(),
        Value::String(text) if URLS.contains(&name) => destination(text).into(),
        Value::String(text) if name.ends_with("_file") || matches!(name, "cert" | "key") => {
            // Behind the name stands what tells the file's content from another.
            text.rsplit_once(' ').map_or(text.as_str(), |(file, _)| file).into()
        }
        Value::Tagged(tagged) => shown(&tagged.value, name),
        value => value.clone(),
    }
}

/// Whom a URL, or a template of one, leads to.
fn destination(url: &str) -> String {
    let (fixed, _) = url.split_once('{').unwrap_or((url, ""));
    let parsed = Url::parse(fixed).ok();
    let Some((url, host)) = parsed.as_ref().and_then(|url| Some((url, url.host_str()?))) else {
        return HIDDEN.to_owned();
    };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}/…", url.scheme())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_a_url_leads_to_is_shown_and_nothing_else_of_it() {
        for (url, shown) in [
            ("redis://user:pa55@index:6379/3", "redis://index:6379/…"),
            ("https://cdn.example.com/purge/pa55?key=pa55", "https://cdn.example.com/…"),
            ("http://127.0.0.1:6081{key}?pa55={access_token}", "http://127.0.0.1:6081/…"),
            ("https://user:pa55@{entity_id}", HIDDEN),
            ("unix:///run/redis.sock?pass=pa55", HIDDEN),
            ("pa55", HIDDEN),
        ] {
            assert_eq!(destination(url), shown, "{url}");
        }
    }

    #[test]
    fn nothing_secret_is_shown_and_all_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a file");
        std::fs::write(&file, "pa55-in-a-file").unwrap();
        let yaml = format!(
            "secret: {{ value: pa55-of-thirty-two-characters-or-more }}
auth: {{ keys: [{{ name: api, hash: pa55, scopes: [read] }}] }}
store: {{ kind: redis, url: 'redis://:pa55@index', sentinel: {{ master: m, urls: ['redis://:pa55@s1:26379'] }}, ca_file: '{file}' }}
caches:
  - {{ name: cdn, kind: http, url: 'https://pa55@cdn/pa55{{key}}', headers: {{ X-Key: pa55 }}, headers_file: {{ X: '{file}' }}, bearer: pa55 }}
  - {{ name: two, kind: http, purge_all: {{ method: BAN, url: 'http://cdn/pa55' }}, health: 'http://cdn/pa55' }}
resolver: {{ url: 'https://api/pa55', bearer_file: '{file}' }}
telemetry: {{ otlp: {{ endpoint: 'http://user:pa55@collector:4318' }} }}
resources: {{ Posts: {{ cache_keys: ['/posts/{{entity_id}}?access_token={{access_token}}'] }} }}",
            file = file.display()
        );
        let shown = Written::of(&serde_yaml::from_str(&yaml).unwrap()).shown();
        let text: String = shown.iter().map(|(name, text)| format!("{name}:\n{text}")).collect();
        assert!(!text.contains("pa55"), "{text}");
        assert_eq!(text.matches(&*file.display().to_string()).count(), 3, "{text}");
        for told in [
            "name: api",
            "redis://index/…",
            "redis://s1:26379/…",
            "X-Key: (hidden)",
            "{entity_id}",
            "method: BAN",
        ] {
            assert!(text.contains(told), "no {told} in {text}");
        }
    }
}
