use super::*;
use crate::network::link::{CREDIT_BYTES, CREDITS};
use crate::network::outbox::MOST_WAITING_BYTES;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

#[tokio::test]
async fn frames_leave_and_arrive_in_order() {
    let (listener, port) = listener().await;
    let mut subject = Subject::open(&network(), tcp(port), None);
    // Before it is open, and from a thread that knows no tokio.
    let subject_ref = &subject;
    std::thread::scope(|scope| {
        scope.spawn(|| subject_ref.send("one", 1));
    });
    subject.connection.send(b"two".to_vec(), None);
    subject.send("three", 3);
    let mut server = BufReader::new(accept(&listener).await);
    subject.opened().await;
    assert_eq!((subject.flushed().await, subject.flushed().await), (1, 3));
    let mut lines = String::new();
    for _ in 0..3 {
        soon(server.read_line(&mut lines)).await.unwrap();
    }
    assert_eq!(lines, "one\r\ntwo\r\nthree\r\n");
    server.write_all(b"a\r\nb\nc\r\nhalf").await.unwrap();
    for expected in ["a", "b", "c"] {
        assert_eq!(subject.frame().await.0, expected);
    }
    drop(server);
    let (reason, undelivered) = subject.closed().await;
    assert_eq!(
        reason.to_string(),
        "unavailable: the other side closed the connection in the middle of a frame"
    );
    assert_eq!(undelivered, 0);
}

#[tokio::test]
async fn everything_received_is_reported_before_the_close() {
    let (listener, port) = listener().await;
    let mut subject = Subject::open(&network(), tcp(port), None);
    let mut server = accept(&listener).await;
    let count = 3 * CREDITS;
    let text: String = (0..count).map(|number| format!("{number}\r\n")).collect();
    server.write_all(text.as_bytes()).await.unwrap();
    drop(server);
    subject.opened().await;
    for number in 0..count {
        assert_eq!(subject.frame().await.0, number.to_string());
    }
    subject
        .closed_because("unavailable: the other side closed the connection")
        .await;
}

#[tokio::test]
async fn held_credits_stop_the_sender_and_not_the_writing() {
    let (listener, port) = listener().await;
    let mut subject = Subject::open(
        &network(),
        ConnectionSpec {
            framing: Framing::LengthPrefix {
                width: 4,
                big_endian: true,
                adjust: 0,
                strip: true,
            },
            max_frame_bytes: 4 * CREDIT_BYTES,
            ..tcp(port)
        },
        None,
    );
    let mut server = accept(&listener).await;
    subject.opened().await;
    // Small frames: their number is the bound.
    for _ in 0..CREDITS + 1 {
        server.write_all(&[0, 0, 0, 1, b'x']).await.unwrap();
    }
    let mut held = Vec::new();
    for _ in 0..CREDITS {
        held.push(subject.frame().await.1);
    }
    // The one more is not reported, and the sender stalls when the kernel's buffers are full.
    let chunk = vec![0; 256 * 1024];
    let mut stalled = 0;
    while let Ok(count) =
        tokio::time::timeout(Duration::from_millis(300), server.write(&chunk)).await
    {
        stalled += count.unwrap();
        assert!(stalled < 256 * 1024 * 1024, "nothing pushes back");
    }
    assert!(subject.reports.try_recv().is_err());
    // Writing goes on.
    subject.send("out", 7);
    assert_eq!(subject.flushed().await, 7);
    let mut out = [0; 7];
    soon(server.read_exact(&mut out)).await.unwrap();
    assert_eq!(&out, b"\0\0\0\x03out");
    // Credits come back: it goes on where it stopped (zeros are empty frames).
    held.clear();
    assert_eq!(subject.frame().await.0, "x");
    for _ in 0..stalled / 4 {
        assert_eq!(subject.frame().await.0, "");
    }
    // A frame beyond all credit takes it alone.
    let server = tokio::spawn(async move {
        server
            .write_all(&vec![0; 4 - stalled % 4][..(4 - stalled % 4) % 4])
            .await
            .unwrap();
        server
            .write_all(&(2 * CREDIT_BYTES).to_be_bytes())
            .await
            .unwrap();
        server
            .write_all(&vec![b'y'; 2 * CREDIT_BYTES as usize])
            .await
            .unwrap();
        server.write_all(&[0, 0, 0, 1, b'z']).await.unwrap();
        server
    });
    let mut next = subject.frame().await;
    if next.0.is_empty() {
        next = subject.frame().await;
    }
    assert_eq!(next.0.len(), 2 * CREDIT_BYTES as usize);
    let mut server = soon(server).await.unwrap();
    // "z" has certainly arrived when the answer to what was sent after it is there.
    subject.send("after", 8);
    assert_eq!(subject.flushed().await, 8);
    let mut after = [0; 9];
    soon(server.read_exact(&mut after)).await.unwrap();
    assert!(subject.reports.try_recv().is_err());
    drop(next);
    assert_eq!(subject.frame().await.0, "z");
}

#[tokio::test]
async fn frames_that_never_left_are_counted() {
    let (gone, port) = listener().await;
    drop(gone);
    let mut subject = Subject::open(&network(), tcp(port), None);
    subject.send("one", 1);
    subject.send("two", 2);
    let (reason, undelivered) = subject.closed().await;
    assert_eq!(
        reason.to_string(),
        format!("unavailable: 127.0.0.1:{port} refused the connection")
    );
    assert_eq!(undelivered, 2);
}

#[tokio::test]
async fn a_reader_that_is_too_slow_is_given_up() {
    let (listener, port) = listener().await;
    let spec = ConnectionSpec {
        framing: Framing::Raw,
        ..tcp(port)
    };
    let mut subject = Subject::open(&network(), spec, None);
    let _server = accept(&listener).await;
    subject.opened().await;
    let mut sent = 0u32;
    let closed = loop {
        subject
            .connection
            .send(vec![0; MOST_WAITING_BYTES / 8], Some(sent.into()));
        sent += 1;
        assert!(sent < 1000);
        tokio::task::yield_now().await;
        let mut closed = None;
        while let Ok(report) = subject.reports.try_recv() {
            if let Report::Closed {
                reason,
                undelivered,
                ..
            } = report
            {
                closed = Some((reason, undelivered));
            }
        }
        if let Some(closed) = closed {
            break closed;
        }
    };
    assert_eq!(
        closed.0.to_string(),
        format!("quota-exceeded: more than {MOST_WAITING_BYTES} bytes were waiting to be sent")
    );
    assert!(closed.1 >= 8, "{}", closed.1);
}

#[tokio::test]
async fn close_comes_after_what_was_sent_and_reports_nothing() {
    let (listener, port) = listener().await;
    let mut subject = Subject::open(&network(), tcp(port), None);
    let mut server = accept(&listener).await;
    subject.opened().await;
    // Unread input must not reset the connection under what was sent.
    server.write_all(b"hello\r\n").await.unwrap();
    let _hello = subject.frame().await;
    subject.send("QUIT", 1);
    subject.connection.close();
    subject.send("too late", 2);
    let Subject {
        connection,
        mut reports,
    } = subject;
    drop(connection);
    server.write_all(b"more\r\n").await.unwrap();
    let mut text = String::new();
    soon(server.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "QUIT\r\n");
    drop(server);
    assert!(matches!(
        soon(reports.recv()).await,
        Some(Report::Flushed { token: 1 })
    ));
    assert!(soon(reports.recv()).await.is_none());
}

#[tokio::test]
async fn a_dropped_connection_ends_without_a_report() {
    let (listener, port) = listener().await;
    let mut subject = Subject::open(&network(), tcp(port), None);
    let mut server = accept(&listener).await;
    subject.opened().await;
    let Subject {
        connection,
        mut reports,
    } = subject;
    drop(connection);
    assert!(soon(reports.recv()).await.is_none());
    assert!(matches!(
        soon(server.read(&mut [0; 1])).await,
        Ok(0) | Err(_)
    ));
}

#[tokio::test]
async fn what_cannot_be_a_frame_closes() {
    let (listener, port) = listener().await;
    let mut subject = Subject::open(&network(), tcp(port), None);
    let mut server = accept(&listener).await;
    server.write_all(b"good\r\n").await.unwrap();
    server.write_all(&[b'x'; 600]).await.unwrap();
    subject.opened().await;
    assert_eq!(subject.frame().await.0, "good");
    subject
        .closed_because(
            "quota-exceeded: a frame is longer than 512 bytes, the most this connection takes",
        )
        .await;

    let mut subject = Subject::open(&network(), tcp(port), None);
    let mut server = accept(&listener).await;
    subject.opened().await;
    subject.send("before", 1);
    subject.send("PRIVMSG #a :x\r\nQUIT", 2);
    subject.send("after", 3);
    assert_eq!(subject.flushed().await, 1);
    let (reason, undelivered) = subject.closed().await;
    assert_eq!(
        reason.to_string(),
        "invalid: a frame to be sent as one line holds a line break"
    );
    assert_eq!(undelivered, 2);
    let mut text = String::new();
    soon(server.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "before\r\n");
}

#[tokio::test]
async fn policies_refuse_before_a_socket_exists() {
    let (listener, port) = listener().await;
    let network = network();
    let mut ungranted = Subject::open_granted(&network, tcp(port), EgressGrant::default(), None);
    ungranted
        .closed_because(&format!(
            "denied: 127.0.0.1:{port} over tcp is not granted by the manifest"
        ))
        .await;
    network.own_ports().add_port(port);
    let mut own = Subject::open(&network, tcp(port), None);
    own.closed_because(
        "denied: 127.0.0.1 leads to a port of this host itself, which may not be connected to",
    )
    .await;
    let guarded = Network::new(NetworkSettings::default()).unwrap();
    let mut private = Subject::open(&guarded, tcp(port), None);
    private
        .closed_because(
            "denied: 127.0.0.1 leads to a loopback address, which may not be connected to",
        )
        .await;
    let accepted = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(accepted.is_err(), "nobody may have connected");
}

#[tokio::test]
async fn a_reset_comes_after_what_was_received() {
    let (listener, port) = listener().await;
    let mut subject = Subject::open(&network(), tcp(port), None);
    let mut server = accept(&listener).await;
    subject.opened().await;
    server.write_all(b"ERROR :closing link\r\n").await.unwrap();
    socket2::SockRef::from(&server)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(server);
    assert_eq!(subject.frame().await.0, "ERROR :closing link");
    subject
        .closed_because("unavailable: the other side reset the connection")
        .await;
}

/// Many connections on several threads, both directions at once: nothing is lost, doubled or out
/// of order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn order_holds_under_load() {
    const FRAMES: u64 = 3000;
    let (listener, port) = listener().await;
    let network = network();
    let echo = tokio::spawn(async move {
        for _ in 0..8 {
            let mut stream = accept(&listener).await;
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await.ok();
            });
        }
    });
    let mut running = Vec::new();
    for _ in 0..8 {
        let Subject {
            connection,
            mut reports,
        } = Subject::open(&network, tcp(port), None);
        let sender = std::thread::spawn(move || {
            for number in 0..FRAMES {
                connection.send(number.to_string().into_bytes(), Some(number));
            }
            connection
        });
        running.push(tokio::spawn(async move {
            let (mut frames, mut flushed, mut held) = (0, 0, Vec::new());
            while frames < FRAMES || flushed < FRAMES {
                match soon(reports.recv()).await.expect("a report") {
                    Report::Opened => {}
                    Report::Flushed { token } => {
                        assert_eq!(token, flushed);
                        flushed += 1;
                    }
                    Report::Frame { bytes, credit } => {
                        assert_eq!(bytes, frames.to_string().into_bytes());
                        frames += 1;
                        held.push(credit);
                        if held.len() == CREDITS as usize {
                            held.clear();
                        }
                    }
                    other => panic!("{other:?}"),
                }
            }
            let connection = sender.join().unwrap();
            connection.close();
            assert!(soon(reports.recv()).await.is_none());
        }));
    }
    for task in running {
        soon(task).await.unwrap();
    }
    soon(echo).await.unwrap();
}
