use super::*;
use crate::delivery::tests::sink::PlainDial;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[test]
fn urls() {
    for (text, host, port, tls, authority, path) in [
        (
            "https://hooks.example.net/a?b=c%20d",
            "hooks.example.net",
            443,
            true,
            "hooks.example.net",
            "/a?b=c%20d",
        ),
        (
            "http://Example.NET:8080",
            "example.net",
            8080,
            false,
            "example.net:8080",
            "/",
        ),
        (
            "http://[2001:DB8::1]:81/x",
            "2001:db8::1",
            81,
            false,
            "[2001:db8::1]:81",
            "/x",
        ),
        (
            "http://2130706433/",
            "127.0.0.1",
            80,
            false,
            "127.0.0.1",
            "/",
        ),
    ] {
        let target = Target::parse(text).unwrap();
        assert_eq!(
            (
                target.host.as_str(),
                target.port,
                target.tls,
                target.authority.as_str(),
                target.path_and_query.as_str()
            ),
            (host, port, tls, authority, path),
            "{text}"
        );
        assert_eq!(validate_url(text), Ok(()));
    }
    for (text, rule) in [
        ("ftp://example.net/", "scheme is `ftp`"),
        ("file:///etc/passwd", "scheme is `file`"),
        ("https://", "not valid"),
        ("hooks.example.net", "not valid"),
        ("https://me@example.net/", "user or password"),
        ("https://:secret@example.net/", "user or password"),
        ("https://example.net/#top", "fragment"),
        (
            &format!("https://example.net/{}", "x".repeat(2048)),
            "longer",
        ),
    ] {
        let error = validate_url(text).unwrap_err();
        assert!(error.contains(rule), "{text}: {error}");
    }
}

/// Serves each connection with `script`, which gets its number from 1.
async fn serve<F, R>(script: F) -> (Client, Arc<AtomicUsize>)
where
    F: Fn(usize, TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
            tokio::spawn(script(number, stream));
        }
    });
    let target = Target::parse(&format!("http://127.0.0.1:{port}/hook")).unwrap();
    (Client::new(Arc::new(PlainDial), target), connections)
}

/// Reads one request whose body is `{}`.
async fn request(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n{}") {
        if stream.read_buf(&mut text).await.unwrap_or(0) == 0 {
            break;
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

async fn post(client: &Client) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert("x-test", HeaderValue::from_static("1"));
    let limits = Limits {
        connect: Duration::from_secs(5),
        total: Duration::from_secs(10),
    };
    client
        .post(headers, Bytes::from_static(b"{}"), limits)
        .await
}

#[tokio::test]
async fn connections_are_kept() {
    let (client, connections) = serve(|_, mut stream| async move {
        loop {
            let text = request(&mut stream).await;
            if text.is_empty() {
                return;
            }
            assert!(text.starts_with("POST /hook HTTP/1.1\r\n"), "{text}");
            for header in [
                "host: 127.0.0.1:",
                "content-type: application/json\r\n",
                "user-agent: anyport/",
                "x-test: 1\r\n",
                "content-length: 2\r\n",
            ] {
                assert!(text.contains(header), "{text}");
            }
            let answer = b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(answer).await.unwrap();
        }
    })
    .await;
    for _ in 0..3 {
        let answer = post(&client).await;
        assert_eq!((answer.status, answer.body), (Some(202), b"ok".to_vec()));
        assert_eq!(answer.error, None);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_kept_connection_that_broke_is_replaced() {
    let (client, connections) = serve(|_, mut stream| async move {
        request(&mut stream).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        // Takes the next request and hangs up without an answer.
        request(&mut stream).await;
    })
    .await;
    for _ in 0..3 {
        assert_eq!(post(&client).await.status, Some(200));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_new_connection_that_breaks_is_a_failure() {
    let (client, connections) = serve(|_, mut stream| async move {
        request(&mut stream).await;
    })
    .await;
    let answer = post(&client).await;
    assert_eq!(answer.status, None);
    assert!(answer.error.unwrap().starts_with("the connection broke"));
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn redirects_are_answers() {
    let (client, connections) = serve(|_, mut stream| async move {
        request(&mut stream).await;
        let answer =
            b"HTTP/1.1 307 x\r\nlocation: /again\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
    })
    .await;
    let answer = post(&client).await;
    assert_eq!(answer.status, Some(307));
    assert_eq!(answer.retry_after.as_deref(), Some("7"));
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn no_more_of_an_answer_is_read_than_is_kept() {
    let (client, connections) = serve(|_, mut stream| async move {
        request(&mut stream).await;
        let head = b"HTTP/1.1 500 x\r\ncontent-length: 100000000\r\n\r\n";
        stream.write_all(head).await.unwrap();
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    for number in 1..=2 {
        let answer = post(&client).await;
        assert_eq!(answer.status, Some(500));
        assert_eq!(answer.body.len(), MAX_ANSWER_BYTES);
        assert_eq!(connections.load(Ordering::SeqCst), number);
    }
}

#[tokio::test]
async fn silence_ends() {
    let (client, _) = serve(|_, mut stream| async move {
        request(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let limits = Limits {
        connect: Duration::from_secs(5),
        total: Duration::from_millis(50),
    };
    let answer = client
        .post(HeaderMap::new(), Bytes::from_static(b"{}"), limits)
        .await;
    assert_eq!(answer.error.as_deref(), Some("no answer within 50 ms"));
    assert!(answer.latency >= Duration::from_millis(50));
}

#[tokio::test]
async fn a_refused_connection_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let target = Target::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
    let answer = post(&Client::new(Arc::new(PlainDial), target)).await;
    assert_eq!(answer.status, None);
    assert!(answer.error.unwrap().contains("refused"));
}
