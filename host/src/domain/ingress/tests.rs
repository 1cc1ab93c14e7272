use super::*;

fn route(text: &str) -> IngressRoute {
    toml::from_str(text).unwrap_or_else(|error| panic!("{error}"))
}

const GOOD: &str = "route = \"events\"\n[verify]\nkind = \"hmac-sha256\"\nheader = \"x-signature\"\n\
                    secret = \"app_secret\"\nsigned = \"{timestamp}.{body}\"\n\
                    timestamp-header = \"x-time\"\ntolerance-seconds = 300\n";

#[test]
fn defaults() {
    let route = route(GOOD);
    assert_eq!(route.methods, ["POST"]);
    assert_eq!(route.max_bytes, MAX_BYTES);
    assert_eq!(route.account, Owner::Path);
    assert_eq!(route.check(), Ok(()));
    assert_eq!(route.secrets(), ["app_secret"]);
    let Verify::HmacSha256(signed) = &route.verify else {
        panic!("{route:?}")
    };
    let parts = &signed.signed.as_ref().unwrap().parts;
    assert_eq!(
        *parts,
        [Part::Timestamp, Part::Text(".".into()), Part::Body]
    );
}

#[test]
fn what_was_read_is_written_the_same() {
    let route = route(GOOD);
    let again: IngressRoute =
        serde_json::from_value(serde_json::to_value(&route).unwrap()).unwrap();
    assert_eq!(again, route);
}

#[test]
fn templates() {
    let template = Template::parse("v0:{{{timestamp}}}:{json:/a~1b}{secret:key}").unwrap();
    assert_eq!(
        template.parts,
        [
            Part::Text("v0:{".into()),
            Part::Timestamp,
            Part::Text("}:".into()),
            Part::Json("/a~1b".into()),
            Part::Secret("key".into()),
        ]
    );
    assert_eq!(Template::parse(&template.text()), Ok(template));
    for wrong in ["", "{body", "body}", "{nothing}", "{json:a}", "{header:}"] {
        assert!(Template::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_wrong_one_is_told_the_field_and_the_rule() {
    for (what, with, phrase) in [
        ("\"events\"", "\"Events/1\"", "route: is lower-case"),
        (
            "[verify]",
            "methods = [\"TRACE\"]\n[verify]",
            "methods: is one or more of",
        ),
        (
            "[verify]",
            "max-bytes = 1048577\n[verify]",
            "max-bytes: is 1 to 1048576",
        ),
        (
            "[verify]",
            "account = { by = \"pointer\", pointer = \"recipient\" }\n[verify]",
            "account.pointer: is a JSON pointer",
        ),
        ("header = \"x-signature\"\n", "", "verify.header: names"),
        (
            "secret = \"app_secret\"\n",
            "",
            "verify.secret: is required",
        ),
        (
            "{timestamp}.{body}",
            "{timestamp}",
            "verify.signed: covers {body}",
        ),
        (
            "{timestamp}.{body}",
            "{body}",
            "verify.tolerance-seconds: needs a timestamp",
        ),
        (
            "timestamp-header = \"x-time\"\n",
            "",
            "nothing says where that is",
        ),
        (
            "hmac-sha256",
            "digest-sha256",
            "verify.signed: says where the secret",
        ),
        (
            "secret = \"app_secret\"",
            "public-key = \"x\"",
            "verify.secret: is required",
        ),
    ] {
        assert!(GOOD.contains(what), "{what}");
        let wrong = route(&GOOD.replace(what, with)).check().unwrap_err();
        assert!(wrong.contains(phrase), "{wrong}");
        assert!(wrong.starts_with("ingress `"), "{wrong}");
    }
    for (challenge, phrase) in [
        ("query = \"c\"", "challenge.token-query: is required"),
        ("query = \"c\"\npointer = \"/c\"", "challenge.query: names"),
        (
            "query = \"c\"\nhmac = \"md5\"\nsecret = \"a\"",
            "challenge.hmac: is sha1",
        ),
        (
            "query = \"c\"\nhmac = \"sha1\"\nsecret = \"a\"",
            "challenge.respond: has {hmac}",
        ),
        ("pointer = \"/c\"", "challenge.pointer: is for POST"),
    ] {
        let wrong = route(&format!("{GOOD}[challenge]\n{challenge}\n"))
            .check()
            .unwrap_err();
        assert!(wrong.contains(phrase), "{wrong}");
    }
    let unknown = toml::from_str::<IngressRoute>(&GOOD.replace("tolerance-", "patience-"));
    assert!(unknown.unwrap_err().message().contains("unknown field"));
}
