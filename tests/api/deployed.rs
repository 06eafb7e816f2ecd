//! What deploy/ says of decache is so: the configuration, probes and times of its manifests.

use std::fs;

use decache::http::{Access, routes};
use reqwest::Method;
use serde_json::Value;

use crate::{
    process::decache,
    support::{Setup, run},
};

fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

fn stateful_set() -> Value {
    yaml(include_str!("../../deploy/kubernetes/statefulset.yaml"))
}

const CONFIGURATION: &str = include_str!("../../deploy/kubernetes/decache.yaml");

#[test]
fn probes_ask_routes_that_are_open_at_the_port_that_is_listened_on() {
    let pod = &stateful_set()["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let asked = |probe: &str| container[probe]["httpGet"]["path"].as_str().unwrap().to_owned();
    assert_eq!(asked("readinessProbe"), "/readyz");
    for probe in ["startupProbe", "livenessProbe"] {
        assert_eq!(asked(probe), "/livez", "what lives is not killed for a Redis that does not");
    }
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let path = asked(probe);
        let route = (Method::GET, path.as_str(), Access::Open);
        assert!(routes().any(|it| it == route), "{probe} asks {path}");
    }
    let bind = yaml(CONFIGURATION)["server"]["bind"].as_str().unwrap().to_owned();
    let port = bind.rsplit_once(':').unwrap().1.parse::<u64>().unwrap();
    assert_eq!(container["ports"][0]["containerPort"], port);
    assert!(bind.starts_with("0.0.0.0:"), "probes come from outside of the pod");
}

#[test]
fn there_is_more_time_to_stop_than_it_takes() {
    let grace = yaml(CONFIGURATION)["server"]["grace"].as_u64().unwrap();
    let pod = &stateful_set()["spec"]["template"]["spec"];
    assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() > grace);
    let unit = include_str!("../../deploy/systemd/decache.service");
    let stop = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).unwrap();
    let default = yaml(include_str!("../../config/default.yaml"))["server"]["grace"].as_u64().unwrap();
    assert!(stop.parse::<u64>().unwrap() > default);
}

#[test]
fn the_configuration_of_the_pods_is_good_and_writes_where_there_is_a_volume() {
    let setup = Setup::embedded();
    let secrets = [
        ("secret", "c2VjcmV0IG9mIHBvZHMgaW4gYSB0ZXN0IG9ubHk"),
        ("index-url", "redis://index.internal:6379"),
        ("cache-url", "rediss://user:password@cache.internal:6379"),
    ];
    for (name, value) in secrets {
        setup.file(name, value);
    }
    let here = setup.directory().to_str().unwrap();
    let text = CONFIGURATION.replace("/run/secrets/decache", here);
    let mut check = std::process::Command::new(decache());
    check.arg("--config").arg(setup.file("pods.yaml", &text)).arg("check");
    let (code, output, error) = run(check, "");
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert_eq!(output.lines().count(), 1, "no warnings: {output}");

    let mounts = &stateful_set()["spec"]["template"]["spec"]["containers"][0]["volumeMounts"];
    let mounted = |name: &str| {
        let mount = mounts.as_array().unwrap().iter().find(|it| it["name"] == name).unwrap();
        (mount["mountPath"].as_str().unwrap().to_owned(), mount["readOnly"] == true)
    };
    let (data, read_only) = mounted("data");
    let journal = yaml(CONFIGURATION)["journal"]["path"].as_str().unwrap().to_owned();
    assert!(journal.starts_with(&format!("{data}/")) && !read_only, "{journal}");
    assert_eq!(mounted("secrets"), ("/run/secrets/decache".to_owned(), true));
    let args = stateful_set()["spec"]["template"]["spec"]["containers"][0]["args"].clone();
    assert_eq!(args[1], format!("{}/decache.yaml", mounted("config").0));
}

#[test]
fn every_file_is_told_of() {
    let guide = include_str!("../../deploy/README.md");
    for entry in fs::read_dir("deploy").unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || guide.contains(&format!("({name}")), "{name}");
    }
}
