//! `resources:` compiled: per resource type the keys of copies, how long they live, and how reads of it are judged.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    caches::CopyKey,
    clock::Timestamp,
    config::resources::{ResourceConfig, ResourcesConfig},
    event::{AccessToken, Entity, is_resource_type},
    judge::Margins,
    rules::RuleProblem,
    template::{Glob, KeyTemplate, TemplateError, Templates, VariantError},
};

/// Clocks that are closer than this are not told apart: an answer takes time, too.
const FINEST_TOLERANCE: Duration = Duration::from_millis(250);

/// One type of entity, as users hold copies of it.
#[derive(Clone, Debug)]
pub struct Resource {
    templates: Templates,
    variant_patterns: Vec<Glob>,
    /// Templates of an earlier configuration, and when the last copy under each has ended.
    retired: Vec<(KeyTemplate, Timestamp)>,
    /// What keys of copies must not begin with; empty where the store has no keys of this kind.
    store_prefix: Box<str>,
    /// Whether a template, filled unluckily, could begin with `store_prefix`.
    may_reach_store: bool,
    /// How long a copy lives at most, in any cache.
    pub ttl: Duration,
    /// Clock skew and replica lag between the API's instances and its databases.
    pub guard: Duration,
    /// How late a read may be told of.
    pub horizon: Duration,
    /// How much later caches that fill late are emptied again, where there are such.
    pub recheck: Option<Duration>,
    /// Whether a read with neither time nor generation is refused.
    pub require_read_time: bool,
}

/// Every configured resource, by its type.
#[derive(Clone, Debug, Default)]
pub struct Resources(BTreeMap<Box<str>, Resource>);

impl Resources {
    /// Checks the section whole. `store_prefix` is what the store's own keys begin with, empty where it has none.
    ///
    /// # Errors
    /// Everything that is wrong, each with its path in the configuration.
    pub fn compile(config: &ResourcesConfig, store_prefix: &str) -> Result<Self, Vec<RuleProblem>> {
        let (mut resources, mut problems) = (BTreeMap::new(), Vec::new());
        for (resource_type, config) in &config.0 {
            let path = format!("resources.{resource_type}");
            if !is_resource_type(resource_type) {
                let detail = "a resource type is 1 to 64 of the characters A-Z a-z 0-9 _ . -";
                problems.push(RuleProblem::new(&path, detail));
            }
            let resource = Resource::compile(config, store_prefix, &path, &mut problems);
            resources.insert(resource_type.as_str().into(), resource);
        }
        if problems.is_empty() { Ok(Self(resources)) } else { Err(problems) }
    }

    /// Has copies under a template removed until `ends` that is not configured any more. Returns whether there is such a
    /// resource; where there is none, nobody asks for a removal.
    pub fn retire(&mut self, resource_type: &str, template: KeyTemplate, ends: Timestamp) -> bool {
        let Some(resource) = self.0.get_mut(resource_type) else { return false };
        let text = template.to_string();
        match resource.retired.iter_mut().find(|(known, _)| known.to_string() == text) {
            Some((_, known)) => *known = ends.max(*known),
            None => resource.retired.push((template, ends)),
        }
        true
    }

    /// Has copies removed that may still live under what these resources name and those do not, which they take the place of.
    pub fn retire_all(&mut self, before: &Self, now: Timestamp) {
        for (resource_type, old) in &before.0 {
            let configured: Vec<String> = match self.0.get(resource_type) {
                Some(new) => new.templates.iter().map(ToString::to_string).collect(),
                None => continue,
            };
            let ended = old.templates.iter().map(|template| (template.clone(), now.after(old.ttl)));
            for (template, ends) in ended.chain(old.retired.iter().cloned()) {
                if ends > now && !configured.contains(&template.to_string()) {
                    self.retire(resource_type, template, ends);
                }
            }
        }
    }

    /// The resource of this type.
    pub fn get(&self, resource_type: &str) -> Option<&Resource> {
        self.0.get(resource_type)
    }

    /// How long the mark of something that concerns every resource has to live: the longest `horizon` and two of the
    /// longest `guard`.
    pub fn longest_mark(&self) -> Duration {
        let longest = |time: fn(&Resource) -> Duration| self.0.values().map(time).max().unwrap_or_default();
        longest(|resource| resource.horizon) + 2 * longest(|resource| resource.guard)
    }

    /// How much later the last of the caches that fill late is emptied again, where there are such.
    pub fn longest_recheck(&self) -> Option<Duration> {
        self.0.values().filter_map(|resource| resource.recheck).max()
    }

    /// How far a store's clock may be from ours.
    pub fn tolerance(&self) -> Duration {
        self.0.values().map(Resource::tolerance).min().unwrap_or(FINEST_TOLERANCE)
    }

    /// How long any copy lives at most, in a cache that fills late, too.
    pub fn longest_life(&self) -> Duration {
        let life = |resource: &Resource| resource.ttl + resource.guard + resource.recheck.unwrap_or_default();
        self.0.values().map(life).max().unwrap_or_default()
    }

    /// Every resource with its type, in the order of types.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Resource)> {
        self.0.iter().map(|(resource_type, resource)| (&**resource_type, resource))
    }
}

impl Resource {
    fn compile(
        config: &ResourceConfig,
        store_prefix: &str,
        path: &str,
        problems: &mut Vec<RuleProblem>,
    ) -> Self {
        if config.cache_keys.is_empty() {
            problems
                .push(RuleProblem::new(format!("{path}.cache_keys"), "at least one key template is needed"));
        }
        if config.ttl.is_zero() {
            problems.push(RuleProblem::new(format!("{path}.ttl"), "must be above 0"));
        }
        let mut templates = Vec::new();
        for (index, text) in config.cache_keys.iter().enumerate() {
            match own_key(text, store_prefix) {
                Ok(template) => templates.push(template),
                Err(detail) => problems.push(RuleProblem::new(format!("{path}.cache_keys[{index}]"), detail)),
            }
        }
        let variant_patterns = patterns(config, store_prefix, path, problems);
        let may_reach_store =
            !store_prefix.is_empty() && templates.iter().any(|t| store_prefix.starts_with(t.leading_text()));
        Self {
            templates: Templates::new(templates),
            retired: Vec::new(),
            variant_patterns,
            store_prefix: store_prefix.into(),
            may_reach_store,
            ttl: config.ttl,
            guard: config.guard,
            horizon: config.horizon,
            recheck: Some(config.recheck).filter(|recheck| !recheck.is_zero()),
            require_read_time: config.require_read_time,
        }
    }

    /// How far another clock may be from ours, as far as can be told.
    pub fn tolerance(&self) -> Duration {
        self.guard.max(FINEST_TOLERANCE)
    }

    /// The key templates.
    pub fn templates(&self) -> &Templates {
        &self.templates
    }

    /// The templates under which copies may live: those that are configured, and those that were before.
    pub fn living_templates(&self, now: Timestamp) -> impl Iterator<Item = &KeyTemplate> {
        self.templates.iter().chain(self.retired(now))
    }

    fn retired(&self, now: Timestamp) -> impl Iterator<Item = &KeyTemplate> {
        self.retired.iter().filter(move |(_, ends)| *ends > now).map(|(template, _)| template)
    }

    /// Patterns of keys of variants, which no template names.
    pub fn variant_patterns(&self) -> &[Glob] {
        &self.variant_patterns
    }

    /// How exactly reads can be judged.
    pub fn margins(&self) -> Margins {
        Margins { guard: self.guard, horizon: self.horizon }
    }

    /// The keys of one user's copies under the templates. The shared holder of a resource whose templates use no token
    /// has the empty one.
    pub fn copy_keys(&self, entity_id: &str, token: &AccessToken) -> Vec<CopyKey> {
        self.templates.expand(entity_id, Some(token))
    }

    /// The keys of one user's copies that a removal has to name: those under the templates, and those that may still live
    /// under templates that were configured before (DESIGN 7, rule 12).
    pub fn keys_to_remove(&self, entity_id: &str, token: &AccessToken, now: Timestamp) -> Vec<CopyKey> {
        let mut keys = self.copy_keys(entity_id, token);
        keys.extend(self.retired(now).filter_map(|template| template.expand(entity_id, Some(token))));
        keys
    }

    /// Which copy an event's `cache_key` means: the text of a variant to keep with the relationship, or `None` for the
    /// copies under the templates.
    ///
    /// # Errors
    /// [`VariantError`] where that copy must not be deleted on this event's word.
    pub fn variant(
        &self,
        entity: &Entity,
        cache_key: Option<&str>,
        token: &AccessToken,
    ) -> Result<Option<Box<str>>, VariantError> {
        let variant = match cache_key {
            Some(cache_key) => self.templates.variant(entity, cache_key, Some(token))?,
            None => None,
        };
        let keys = match &variant {
            Some(variant) => variant.expand(&entity.id, Some(token)).into_iter().collect(),
            None if self.may_reach_store => self.copy_keys(&entity.id, token),
            None => Vec::new(),
        };
        if !self.store_prefix.is_empty() && keys.iter().any(|key| key.0.starts_with(&*self.store_prefix)) {
            return Err(VariantError::StoreKey(self.store_prefix.clone()));
        }
        Ok(variant.map(|variant| variant.to_string().into()))
    }
}

/// The key of a variant's copy, from the text that [`Resource::variant`] gave. It needs no resource, so a variant can
/// be deleted whatever the configuration has become.
///
/// # Errors
/// [`TemplateError`] where the text is not such a one.
pub fn variant_key(variant: &str, token: &AccessToken) -> Result<Option<CopyKey>, TemplateError> {
    Ok(KeyTemplate::parse_variant(variant)?.expand("", Some(token)))
}

/// A variant's text for people, as the API wrote it: literal braces stand single.
///
/// # Errors
/// [`TemplateError`] where the text is not one that [`Resource::variant`] gave.
pub fn shown_variant(variant: &str) -> Result<String, TemplateError> {
    KeyTemplate::parse_variant(variant).map(|variant| variant.shown())
}

fn patterns(
    config: &ResourceConfig,
    store_prefix: &str,
    path: &str,
    problems: &mut Vec<RuleProblem>,
) -> Vec<Glob> {
    let mut patterns = Vec::new();
    for (index, text) in config.variant_patterns.iter().enumerate() {
        let path = format!("{path}.variant_patterns[{index}]");
        match Glob::parse(text) {
            None => {
                problems.push(RuleProblem::new(path, "a pattern begins with text, such as `/posts/*?page=*`"))
            }
            Some(glob) if !store_prefix.is_empty() && glob.leading_text().starts_with(store_prefix) => {
                problems.push(RuleProblem::new(path, store_key(store_prefix)));
            }
            Some(glob) => patterns.push(glob),
        }
    }
    patterns
}

fn store_key(store_prefix: &str) -> String {
    format!("must not begin with `{store_prefix}`, the prefix of the store's own keys")
}

fn own_key(text: &str, store_prefix: &str) -> Result<KeyTemplate, String> {
    let template = KeyTemplate::parse(text).map_err(|error| error.to_string())?;
    if !store_prefix.is_empty() && template.leading_text().starts_with(store_prefix) {
        return Err(store_key(store_prefix));
    }
    Ok(template)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posts(cache_keys: &[&str]) -> ResourceConfig {
        ResourceConfig {
            cache_keys: cache_keys.iter().map(|&key| key.to_owned()).collect(),
            variant_patterns: Vec::new(),
            ttl: Duration::from_secs(300),
            guard: Duration::from_secs(2),
            horizon: Duration::from_secs(3600),
            recheck: Duration::ZERO,
            require_read_time: false,
        }
    }

    fn compile(resource_type: &str, config: ResourceConfig) -> Result<Resource, Vec<String>> {
        let config = ResourcesConfig([(resource_type.to_owned(), config)].into());
        match Resources::compile(&config, "decache:") {
            Ok(resources) => Ok(resources.get(resource_type).unwrap().clone()),
            Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn a_user_has_one_copy_under_each_template() {
        let resource =
            compile("Posts", posts(&["/p/{entity_id}?t={access_token}", "/q/{entity_id}"])).unwrap();
        let keys = resource.copy_keys("42", &AccessToken::new("tok-alice"));
        assert_eq!(keys, [CopyKey("/p/42?t=tok-alice".to_owned()), CopyKey("/q/42".to_owned())]);
    }

    #[test]
    fn a_copy_under_a_template_of_before_may_live_until_that_has_ended() {
        let config = ResourcesConfig([("Posts".to_owned(), posts(&["/p/{entity_id}"]))].into());
        let mut resources = Resources::compile(&config, "").unwrap();
        assert!(resources.retire("Posts", KeyTemplate::parse("/q/{entity_id}").unwrap(), Timestamp(5)));
        let living = |now| {
            let templates = resources.get("Posts").unwrap().living_templates(Timestamp(now));
            templates.map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            (living(4), living(5)),
            (vec!["/p/{entity_id}".into(), "/q/{entity_id}".into()], vec!["/p/{entity_id}".into()])
        );
    }

    #[test]
    fn a_copy_in_a_cache_that_fills_late_lives_so_much_longer() {
        let late = ResourceConfig { recheck: Duration::from_secs(10), ..posts(&["/p/{entity_id}"]) };
        let config = [("Posts".to_owned(), late), ("Notes".to_owned(), posts(&["/n/{entity_id}"]))];
        let resources = Resources::compile(&ResourcesConfig(config.into()), "").unwrap();
        assert_eq!(resources.longest_life(), Duration::from_secs(300 + 2 + 10));
    }

    #[test]
    fn a_variants_text_gives_its_key_and_shows_as_it_was_written() {
        let resource = compile("Posts", posts(&["/p/{entity_id}?t={access_token}"])).unwrap();
        let (entity, token) = (Entity::new("Posts", "{}").unwrap(), AccessToken::new("tok-alice"));
        let variant =
            resource.variant(&entity, Some("/p/{}?page=2&t={access_token}"), &token).unwrap().unwrap();
        assert_eq!(variant_key(&variant, &token), Ok(Some(CopyKey("/p/{}?page=2&t=tok-alice".to_owned()))));
        assert_eq!(shown_variant(&variant).unwrap(), "/p/{}?page=2&t={access_token}");
        assert_eq!(resource.variant(&entity, None, &token), Ok(None));
    }

    #[test]
    fn everything_wrong_with_a_resource_is_told_with_its_path() {
        let wrong =
            ResourceConfig { ttl: Duration::ZERO, ..posts(&["/p", "decache:{entity_id}", "/{entity_id}"]) };
        assert_eq!(
            compile("A:B", wrong).unwrap_err(),
            [
                "resources.A:B: a resource type is 1 to 64 of the characters A-Z a-z 0-9 _ . -",
                "resources.A:B.ttl: must be above 0",
                "resources.A:B.cache_keys[0]: the template must hold {entity_id}",
                "resources.A:B.cache_keys[1]: must not begin with `decache:`, the prefix of the store's own keys",
            ]
        );
        let patterns = ["*", "decache:*", "/posts/*"].map(str::to_owned).to_vec();
        let wrong = ResourceConfig { variant_patterns: patterns, ..posts(&["/{entity_id}"]) };
        assert_eq!(
            compile("Posts", wrong).unwrap_err(),
            [
                "resources.Posts.variant_patterns[0]: a pattern begins with text, such as `/posts/*?page=*`",
                "resources.Posts.variant_patterns[1]: must not begin with `decache:`, the prefix of the store's own keys",
            ]
        );
        let none = compile("Posts", posts(&[])).unwrap_err();
        assert_eq!(none, ["resources.Posts.cache_keys: at least one key template is needed"]);
    }

    #[test]
    fn no_event_reaches_the_stores_own_keys() {
        let store_key = Err(VariantError::StoreKey("decache:".into()));
        let token = AccessToken::new("tok-alice");
        let by_id = compile("Posts", posts(&["{entity_id}:{access_token}"])).unwrap();
        let entity = Entity::new("Posts", "decache:{Posts:42}").unwrap();
        assert_eq!(by_id.variant(&entity, None, &token), store_key);
        assert_eq!(by_id.variant(&entity, Some("decache:{Posts:42}:h:{access_token}"), &token), store_key);
        let by_token = compile("Posts", posts(&["{access_token}:{entity_id}"])).unwrap();
        let entity = Entity::new("Posts", "42").unwrap();
        assert_eq!(by_token.variant(&entity, None, &AccessToken::new("decache:{Posts")), store_key);
        assert_eq!(by_token.variant(&entity, None, &token), Ok(None));
    }
}
