use super::*;
use crate::domain::media::{BlobId, BlobMeta, BlobOwner};
use crate::domain::{Timestamp, WorkspaceId};
use crate::runtime::port::http::Bytes as Raw;

const TOKEN: &str = "123:A b/ü?%";

fn request(url: &str) -> HttpRequest {
    HttpRequest {
        method: "POST".into(),
        url: url.into(),
        headers: Vec::new(),
        secrets: Vec::new(),
        body: HttpBody::Empty,
        timeout_ms: None,
        repeatable: false,
        max_bytes: None,
        to_blob: false,
        context: Raw::default(),
    }
}

fn at(place: Place) -> Placement {
    Placement {
        secret: "token".into(),
        place,
        before: "a:".into(),
        after: ".z".into(),
    }
}

fn made(request: &HttpRequest, token: &str) -> Result<Composed, Failure> {
    let secrets = [("token".to_owned(), SecretBytes::from(token.as_bytes()))];
    compose(request, &Target::parse(&request.url)?, &secrets, &[photo()])
}

fn photo() -> Blob {
    Blob {
        id: BlobId::from_text("blob_1"),
        owner: BlobOwner {
            workspace: WorkspaceId::from_text("ws_1"),
            account: None,
        },
        size: 70,
        meta: BlobMeta {
            mime: Some("image/png".into()),
            filename: Some("photo.png".into()),
            ..BlobMeta::default()
        },
        created_at: Timestamp(0),
        keep_until: Timestamp(0),
    }
}

fn body(composed: &Composed) -> String {
    let bytes: Vec<u8> = composed
        .body
        .iter()
        .flat_map(|piece| match piece {
            Piece::Bytes(bytes) => bytes.to_vec(),
            Piece::Blob(blob) => format!("<{}>", blob.id).into_bytes(),
        })
        .collect();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn secrets_stand_where_they_were_placed() {
    let mut in_header = request("https://api.example/v1");
    in_header.secrets = vec![at(Place::Header("authorization".into()))];
    let composed = made(&in_header, "tökén").unwrap();
    let value = &composed.headers["authorization"];
    assert_eq!(value.as_bytes(), "a:tökén.z".as_bytes());
    assert!(value.is_sensitive() && !format!("{:?}", composed.headers).contains("tök"));

    let mut in_query = request("https://api.example/v1?x=1");
    in_query.secrets = vec![at(Place::Query("access token".into()))];
    let composed = made(&in_query, TOKEN).unwrap();
    assert_eq!(
        composed.path.as_str(),
        "/v1?x=1&access+token=a%3A123%3AA+b%2F%C3%BC%3F%25.z"
    );
    for (url, expected) in [
        ("https://api.example", "/?access+token=a%3At.z"),
        ("https://api.example/?", "/?access+token=a%3At.z"),
    ] {
        in_query.url = url.into();
        assert_eq!(made(&in_query, "t").unwrap().path.as_str(), expected);
    }

    let mut in_path = request("https://api.example/bot/send?x=%20");
    in_path.secrets = vec![at(Place::PathSegment(0))];
    let composed = made(&in_path, TOKEN).unwrap();
    assert_eq!(
        composed.path.as_str(),
        "/a:123:A%20b%2F%C3%BC%3F%25.z/send?x=%20"
    );

    let mut in_form = request("https://api.example/");
    in_form.secrets = vec![at(Place::FormField("token".into()))];
    let composed = made(&in_form, TOKEN).unwrap();
    assert_eq!(body(&composed), "token=a%3A123%3AA+b%2F%C3%BC%3F%25.z");
    assert_eq!(composed.headers[CONTENT_TYPE], FORM);
    in_form.headers = vec![("Content-Type".into(), format!("{FORM}; charset=utf-8"))];
    in_form.body = HttpBody::Bytes(Raw(b"x=1".to_vec()));
    assert_eq!(body(&made(&in_form, "t").unwrap()), "x=1&token=a%3At.z");

    let mut in_json = request("https://api.example/");
    in_json.body = HttpBody::Bytes(Raw(br#"{"n":1.50,"auth":{"token":""}}"#.to_vec()));
    in_json.secrets = vec![at(Place::JsonPointer("/auth/token".into()))];
    assert_eq!(
        body(&made(&in_json, "q\"\\\n").unwrap()),
        r#"{"n":1.50,"auth":{"token":"a:q\"\\\n.z"}}"#
    );

    let mut in_parts = request("https://api.example/");
    in_parts.body = HttpBody::Multipart(vec![
        HttpPart {
            name: "na\"me".into(),
            filename: Some("a\r\nb.png".into()),
            mime: Some("image/png".into()),
            body: PartBody::Blob("blob_1".into()),
        },
        HttpPart {
            name: "text".into(),
            filename: None,
            mime: None,
            body: PartBody::Bytes(Raw(b"hello".to_vec())),
        },
    ]);
    in_parts.secrets = vec![at(Place::FormField("token".into()))];
    let composed = made(&in_parts, "t").unwrap();
    let kind = composed.headers[CONTENT_TYPE].to_str().unwrap();
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
    let expected = [
        "--B",
        "content-disposition: form-data; name=\"na%22me\"; filename=\"a%0D%0Ab.png\"",
        "content-type: image/png",
        "",
        "<blob_1>",
        "--B",
        "content-disposition: form-data; name=\"text\"",
        "",
        "hello",
        "--B",
        "content-disposition: form-data; name=\"token\"",
        "",
        "a:t.z",
        "--B--",
        "",
    ]
    .join("\r\n")
    .replace("--B", &format!("--{boundary}"));
    assert_eq!(body(&composed), expected);
}

#[test]
fn what_a_request_does_not_say_of_a_blob_the_blob_says() {
    let mut whole = request("https://api.example/v1");
    whole.body = HttpBody::Blob("blob_1".into());
    let composed = made(&whole, "t").unwrap();
    assert_eq!(composed.headers[CONTENT_TYPE], "image/png");
    assert_eq!(body(&composed), "<blob_1>");
    whole.headers = vec![("Content-Type".into(), "image/x-other".into())];
    let composed = made(&whole, "t").unwrap();
    assert_eq!(composed.headers[CONTENT_TYPE], "image/x-other");

    let mut parts = request("https://api.example/v1");
    parts.body = HttpBody::Multipart(vec![HttpPart {
        name: "file".into(),
        filename: None,
        mime: None,
        body: PartBody::Blob("blob_1".into()),
    }]);
    let composed = made(&parts, "t").unwrap();
    let text = body(&composed);
    let head = "name=\"file\"; filename=\"photo.png\"\r\ncontent-type: image/png\r\n\r\n<blob_1>";
    assert!(text.contains(head), "{text}");

    whole.body = HttpBody::Blob("blob_2".into());
    let failure = made(&whole, "t").err().unwrap();
    assert_eq!(failure.code, FailureCode::Invalid);
}

#[test]
fn what_cannot_be_sent_is_refused_without_the_secret_or_the_address() {
    let refuse = |change: &dyn Fn(&mut HttpRequest), token: &str, phrase: &str| {
        let mut request = request("https://api.example/hidden/path?hidden=1");
        change(&mut request);
        let failure = match made(&request, token) {
            Ok(_) => panic!("{phrase}: it was made"),
            Err(failure) => failure,
        };
        assert!(failure.message.contains(phrase), "{failure}");
        assert!(failure.detail.is_none());
        for hidden in ["hidden", "hunter2"] {
            assert!(!failure.message.contains(hidden), "{failure}");
        }
    };
    let header = |name: &'static str, value: &'static str| {
        move |request: &mut HttpRequest| request.headers.push((name.into(), value.into()))
    };
    let secret = |place: Place| {
        move |request: &mut HttpRequest| {
            let placement = Placement {
                before: String::new(),
                after: String::new(),
                ..at(place.clone())
            };
            request.secrets.push(placement);
        }
    };
    let method =
        |method: &'static str| move |request: &mut HttpRequest| request.method = method.into();
    let url = |url: &'static str| move |request: &mut HttpRequest| request.url = url.into();
    refuse(&method("CONNECT"), "", "CONNECT");
    refuse(&method("GE T"), "", "method");
    refuse(
        &header("host", "evil.example"),
        "",
        "`host` is the host's to set",
    );
    refuse(
        &header("Transfer-Encoding", "chunked"),
        "",
        "is the host's to set",
    );
    refuse(&header("a b", "x"), "", "is no name");
    refuse(&header("x", "a\r\nb: c"), "", "has no valid value");
    refuse(&url("ftp://api.example/"), "", "neither https nor http");
    refuse(
        &url("https://hidden:hunter2@api.example/"),
        "",
        "user or password",
    );
    refuse(&url("https://api.example/#hidden"), "", "fragment");
    refuse(&url("https://"), "", "not valid");
    refuse(
        &secret(Place::Header("x-key".into())),
        "hunter2\n",
        "cannot stand in a header",
    );
    refuse(
        &secret(Place::Header("host".into())),
        "hunter2",
        "is the host's to set",
    );
    refuse(&secret(Place::PathSegment(9)), "hunter2", "no such segment");
    refuse(
        &secret(Place::PathSegment(0)),
        "..",
        "cannot stand in a path",
    );
    refuse(
        &secret(Place::JsonPointer("/a".into())),
        "hunter2",
        "no value at /a",
    );
    let twice = |request: &mut HttpRequest| {
        header("x-key", "1")(request);
        secret(Place::Header("x-key".into()))(request);
    };
    refuse(&twice, "hunter2", "given twice");
    let other = |request: &mut HttpRequest| {
        request.body = HttpBody::Bytes(Raw(b"{}".to_vec()));
        secret(Place::FormField("a".into()))(request);
    };
    refuse(&other, "hunter2", "a form field is for");
    let unknown = |request: &mut HttpRequest| {
        secret(Place::Query("a".into()))(request);
        request.secrets[0].secret = "nobody".into();
    };
    refuse(&unknown, "hunter2", "has no secret `nobody`");
}

#[test]
fn dots_in_a_path_go_before_it_is_looked_at() {
    let target = Target::parse("https://api.example/open/%2e%2e/closed").unwrap();
    assert_eq!(target.path, "/closed");
    assert_eq!(target.port, 443);
    let target = Target::parse("http://[2001:DB8::1]:8080/").unwrap();
    assert_eq!((target.host.as_str(), target.port), ("2001:db8::1", 8080));
    assert_eq!(target.authority, "[2001:db8::1]:8080");
}
