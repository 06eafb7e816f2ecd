//! Certificates and keys are read and checked with the file that names them.

use super::{File, assert_each, problems};
use crate::config::{caches::CacheTarget, store::StoreConfig};

/// A certificate and its key, in PEM.
fn make() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// The one problem of a `server.tls` with these contents.
fn problem(cert: &str, key: &str) -> String {
    let file = File::new("");
    let (cert, key) = (file.beside("cert", cert), file.beside("key", key));
    std::fs::write(file.path(), format!("server:\n  tls:\n    cert: {cert}\n    key: {key}\n")).unwrap();
    let problems = file.problems(&[]);
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].replace(&cert, "C").replace(&key, "K")
}

#[test]
fn a_certificate_and_its_key_are_taken_everywhere() {
    let file = File::new("");
    let (cert, key) = make();
    let (cert, key) = (file.beside("cert", &cert), file.beside("key", &key));
    let redis =
        format!("url: 'rediss://h', ca_file: {cert}, client_cert_file: {cert}, client_key_file: {key}");
    let text = format!(
        "server: {{ tls: {{ cert: {cert}, key: {key} }} }}\nstore: {{ kind: redis, {redis} }}\n\
         caches: [ {{ name: a, kind: redis, {redis} }} ]\n"
    );
    std::fs::write(file.path(), text).unwrap();
    let config = file.load(&[]).unwrap().config;
    assert!(config.server.tls.unwrap().read().is_ok());
    let StoreConfig::Redis(store) = config.store else { panic!("{:?}", config.store) };
    let CacheTarget::Redis(cache) = &config.caches[0].target else { panic!("{:?}", config.caches[0]) };
    for tls in [&store.tls, &cache.tls] {
        let tls = tls.read().unwrap();
        assert!(tls.authorities.is_some() && tls.identity.is_some());
    }
}

#[test]
fn a_file_that_is_not_what_it_is_to_be_is_named_with_its_field() {
    let ((cert, key), (other, _)) = (make(), make());
    let garbled = cert.replacen("MII", "AAA", 1);
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let cases = [
        (problem(&cert, ""), "F:4: server.tls.key: K is empty"),
        (problem("", &key), "F:3: server.tls.cert: C is empty"),
        (problem(&key, &cert), "F:3: server.tls.cert: C: expected a certificate in PEM"),
        (
            problem(&cert, &cert),
            "F:4: server.tls.key: K: expected a private key in PEM, without a passphrase",
        ),
        (
            problem(&cert, &encrypted),
            "F:4: server.tls.key: K: expected a private key in PEM, without a passphrase",
        ),
        (problem(&garbled, &key), "F:3: server.tls.cert: C: holds a certificate that cannot be used: "),
        (problem(&other, &key), "F:4: server.tls.key: K: is not the key of that certificate"),
    ];
    for (problem, expected) in cases {
        assert!(problem.starts_with(expected), "      is: {problem}\nexpected: {expected}");
    }
}

#[test]
fn a_half_of_a_pair_and_a_file_that_is_not_there_are_told() {
    assert_each(&[
        ("server:\n  tls: { cert: /nowhere }\n", "F:2: server.tls.key: is missing, and has no default"),
        (
            "server:\n  tls: { cert: /nowhere, key: /nowhere }\n",
            "F:2: server.tls.cert: cannot read /nowhere: No such file",
        ),
        (
            "store:\n  kind: redis\n  url: 'rediss://h'\n  ca_file: /nowhere\n",
            "F:4: store.ca_file: cannot read /nowhere: No such file",
        ),
        (
            "store:\n  kind: redis\n  url: 'rediss://h'\n  client_cert_file: /nowhere\n",
            "F:1: store.client_key_file: is missing, and client_cert_file is of no use without it",
        ),
        (
            "caches:\n  - name: a\n    kind: redis\n    url: 'rediss://h'\n    client_key_file: /nowhere\n",
            "F:2: caches[0].client_cert_file: is missing, and client_key_file is of no use without it",
        ),
    ]);
    let file = File::new("");
    let ca = file.beside("ca", "tok-x");
    std::fs::write(file.path(), format!("store: {{ kind: redis, url: 'rediss://h', ca_file: {ca} }}"))
        .unwrap();
    assert_eq!(file.problems(&[]), [format!("F:1: store.ca_file: {ca}: expected a certificate in PEM")]);
}

#[test]
fn tls_settings_of_a_connection_that_is_not_encrypted_are_refused() {
    let of_tls = "belongs to a rediss:// URL, and this one is not encrypted";
    assert_each(&[
        (
            "store:\n  kind: redis\n  url: 'redis://h'\n  ca_file: /nowhere\n",
            &format!("F:4: store.ca_file: {of_tls}"),
        ),
        (
            "caches:\n  - { name: a, kind: redis, url: 'unix:///s', client_key_file: /nowhere }\n",
            &format!("F:2: caches[0].client_key_file: {of_tls}"),
        ),
        ("store:\n  ca_file: /nowhere\n", "F:2: store.ca_file: belongs to kind: redis"),
    ]);
}

/// The Redis client has a word for it in the URL, and would not check a certificate then.
#[test]
fn no_url_switches_the_check_of_certificates_off() {
    for url in ["rediss://h/#insecure", "rediss://h:1#insecure"] {
        let problem = &problems(&format!("store: {{ kind: redis, url: '{url}' }}"))[0];
        assert!(
            problem.starts_with("F:1: store.url: expected redis://") && problem.contains('#'),
            "{problem}"
        );
    }
}
