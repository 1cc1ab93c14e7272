use super::*;

/// A component of nothing but a manifest: that one with a part replaced.
fn component(what: &str, with: &str) -> Vec<u8> {
    let right = "id = \"x\"\ntitle = \"X\"\nversion = \"0.1.0\"\ncontract = \"0.1.0\"\n\
                 class = \"best-effort\"\nresume = \"snapshot\"\nimports = []\n";
    assert!(right.contains(what), "{what}");
    let manifest = right.replace(what, with);
    let mut section = vec![u8::try_from(SECTION.len()).unwrap()];
    section.extend(SECTION.bytes());
    section.extend(manifest.bytes());
    let mut bytes = b"\0asm\x0d\0\x01\0\0".to_vec();
    let mut size = section.len();
    while size >= 0x80 {
        bytes.push(u8::try_from(size & 0x7f).unwrap() | 0x80);
        size >>= 7;
    }
    bytes.push(u8::try_from(size).unwrap());
    bytes.extend(section);
    bytes
}

/// What is said of the manifest, one complaint a line, each with how to mend it.
fn said(what: &str, with: &str) -> String {
    let explained = explain(&component(what, with));
    let of_manifest = explained.complaints.iter();
    of_manifest
        .filter(|complaint| complaint.about == "manifest")
        .map(|complaint| format!("{} -> {}\n", complaint.what, complaint.todo))
        .collect()
}

#[test]
fn an_import_that_is_none() {
    assert_eq!(said("", ""), "");
    for (name, phrases) in [
        (
            "htpp",
            &["does not offer", "-> `http` was perhaps meant"][..],
        ),
        ("conections", &["-> `connections` was perhaps meant"]),
        (
            "weather",
            &["-> take it out of `imports`; there are turn, log"],
        ),
        (
            "ingress",
            &["that is exported, not imported", "here `Ingress`"],
        ),
        (
            "message-actions",
            &["that is exported, not imported", "here `MessageActions`"],
        ),
        ("crypto", &["is not served yet"]),
        ("types", &["has no functions to grant"]),
    ] {
        let text = said("imports = []", &format!("imports = [\"{name}\"]"));
        for phrase in phrases {
            assert!(text.contains(phrase), "no {phrase:?} in {text}");
        }
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

/// Also the rest of the manifest is looked at.
#[test]
fn an_import_that_is_none_hides_nothing() {
    let text = said(
        "imports = []",
        "imports = [\"htpp\"]\n[secrets]\nreveal = [\"a\"]",
    );
    assert!(text.contains("`http` was perhaps meant"), "{text}");
    assert!(text.contains("secrets.reveal names `a`"), "{text}");
}

#[test]
fn a_version_that_is_none() {
    for key in ["contract", "version"] {
        let text = said(&format!("{key} = \"0.1.0\""), &format!("{key} = \"1\""));
        let message = format!("the manifest's {key} `1` is wrong: it is three numbers with points");
        assert!(text.contains(&message), "{text}");
    }
}

/// What is to be written is what a host takes.
#[test]
fn the_corrected_line_has_no_slip_in_it() {
    let mut explained = explain(&component("imports = []", "imports = [\"turn\", \"htpp\"]"));
    explained.complaints.clear();
    let names = Names {
        imports: vec!["anyport:provider/http@0.1.0".to_owned()],
        ..Names::default()
    };
    explain_imports(&names, &mut explained);
    let [complaint] = &explained.complaints[..] else {
        panic!("{explained:?}");
    };
    assert!(
        complaint.todo.ends_with("imports = [\"turn\", \"http\"]"),
        "{complaint:?}"
    );
}

#[test]
fn routes_and_the_export_go_together() {
    let route = "imports = []\n[[ingress]]\nroute = \"a\"\nverify = { kind = \"none\" }";
    for (manifest, exported, cure) in [
        (route, false, Some("implement `Ingress`")),
        ("imports = []", true, Some("write an [[ingress]]")),
        (route, true, None),
        ("imports = []", false, None),
    ] {
        let mut explained = explain(&component("imports = []", manifest));
        explained.complaints.clear();
        let mut exports = vec![LIFECYCLE.to_owned(), REACTOR.to_owned()];
        if exported {
            exports.push("anyport:provider/ingress@0.1.0".to_owned());
        }
        let names = Names {
            exports,
            ..Names::default()
        };
        explain_exports(&names, &mut explained);
        let found = explained.complaints.first().map(|it| it.todo.as_str());
        match (found, cure) {
            (None, None) => {}
            (Some(todo), Some(cure)) if todo.starts_with(cure) => {}
            other => panic!("{other:?}"),
        }
    }
}
