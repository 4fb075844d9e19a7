//! Recordings are read back as written; incomplete or invalid ones are reported.

use std::collections::BTreeMap;

use super::super::input::{
    Answer, Event, ImageRecord, Ingest, Lease, Poll, Query, Reply, Resource, ServerInfo,
};
use super::*;

fn at(nanos: i32) -> NodeTime {
    NodeTime::from_unix(1_764_016_180, nanos)
}

/// Every kind of input, query, reply and event.
fn inputs() -> Vec<Input> {
    let digest = || format!("sha256:{}", "a".repeat(64));
    let key = || "extract-1-x sha256:b".to_owned();
    let (snapshotter, name) = ("overlayfs".to_owned(), "docker.io/library/a:1".to_owned());
    let labels = BTreeMap::from([("a".to_owned(), "\"ü\n\u{0}".to_owned())]);
    let record = ImageRecord {
        name: name.clone(),
        target: digest(),
        created_at: at(1),
        updated_at: at(999_999_999),
    };
    let lease = |resources| Lease {
        id: "1-abcd".into(),
        created_at: at(5),
        labels: labels.clone(),
        resources,
    };
    let ingest = Ingest {
        reference: format!("layer-{}", digest()),
        offset: i64::MIN,
        total: i64::MAX,
        started_at: at(1),
        updated_at: at(2),
    };
    let resource = Resource { kind: "content".into(), id: digest() };
    let mut all = vec![
        Input::Connected(ServerInfo { version: "1.6.20".into(), started_at: Some(at(3)) }),
        Input::Connected(ServerInfo::default()),
        Input::Poll(Poll::default()),
        Input::Poll(Poll {
            ingests: vec![ingest],
            leases: vec![lease(None), lease(Some(Vec::new())), lease(Some(vec![resource]))],
        }),
        Input::Lost { reason: "down".into() },
    ];
    for event in [
        Event::ContentCreated { digest: digest(), size: -1 },
        Event::SnapshotPrepared { key: key() },
        Event::SnapshotCommitted { key: key(), name: digest() },
        Event::SnapshotRemoved { key: key() },
        Event::ImageWritten { name: name.clone(), at: at(9) },
        Event::ImageDeleted { name: name.clone() },
        Event::Gap,
    ] {
        all.push(Input::Event(event));
    }
    for (to, reply) in [
        (
            Query::Info { digest: digest() },
            Reply::Info { size: 7, created_at: at(4), labels: labels.clone() },
        ),
        (
            Query::Read { digest: digest(), size: u64::MAX },
            Reply::Document { text: "{\"a\":\n1}".into() },
        ),
        (
            Query::Stat { snapshotter: snapshotter.clone(), key: key() },
            Reply::Snapshot { created_at: at(4), committed: true },
        ),
        (Query::Usage { snapshotter, key: key() }, Reply::Usage { size: 1 }),
        (Query::RecordsOf { target: digest() }, Reply::Records { records: vec![record] }),
        (Query::Record { name: name.clone() }, Reply::NotFound),
        (Query::Record { name }, Reply::Failed { reason: "x".into() }),
    ] {
        all.push(Input::Answer(Answer { to, reply }));
    }
    all
}

fn now(ms: u64) -> Now {
    let by = Duration::from_millis(ms);
    Now { mono: Mono(by), node: at(0).saturating_add(by) }
}

fn written() -> Vec<u8> {
    let mut out = Vec::new();
    let mut recorder = Recorder::new(&mut out, "n1".parse().unwrap(), "k8s.io".parse().unwrap());
    for (i, input) in inputs().iter().enumerate() {
        recorder.write(now(i as u64 * 250), input).unwrap();
    }
    assert_eq!(recorder.inputs(), inputs().len() as u64);
    let bytes = recorder.bytes();
    assert_eq!(bytes, out.len() as u64);
    out
}

fn read_all(bytes: &[u8]) -> (Vec<Input>, Option<RecordingError>) {
    let mut inputs = Vec::new();
    let recording = match Recording::open(bytes) {
        Ok(recording) => recording,
        Err(error) => return (inputs, Some(error)),
    };
    for line in recording {
        match line {
            Ok(line) => inputs.push(line.input),
            Err(error) => return (inputs, Some(error)),
        }
    }
    (inputs, None)
}

#[test]
fn written_inputs_are_read_back() {
    let out = written();
    let recording = Recording::open(out.as_slice()).unwrap();
    let header = Header {
        containerd: Some("1.6.20".into()),
        node: "n1".parse().unwrap(),
        namespace: "k8s.io".parse().unwrap(),
        started: at(0),
    };
    assert_eq!(recording.header(), &header);
    let lines: Vec<Line> = recording.map(Result::unwrap).collect();
    let expected =
        inputs().into_iter().enumerate().map(|(i, input)| Line { now: now(i as u64 * 250), input });
    assert_eq!(lines, expected.collect::<Vec<_>>());
}

/// The lines that other programs may read: version 1 of the format.
#[test]
fn lines_match_version_one_format() {
    let mut out = Vec::new();
    let mut recorder = Recorder::new(&mut out, "n1".parse().unwrap(), "k8s.io".parse().unwrap());
    let (all, now) = (inputs(), now(1));
    recorder.write(now, &all[4]).unwrap();
    recorder.write(now, &all[3]).unwrap();
    recorder.write(now, &all[5]).unwrap();
    recorder.write(now, &all[14]).unwrap();
    let digest = format!("sha256:{}", "a".repeat(64));
    let expected = [
        r#"{"pulltrace_recording":1,"containerd":null,"node":"n1","namespace":"k8s.io","started":"2025-11-24T20:29:40.001Z"}"#.to_owned(),
        r#"{"mono_ns":1000000,"at":"2025-11-24T20:29:40.001Z","input":{"input":"lost","reason":"down"}}"#.to_owned(),
        format!(
            r#"{{"mono_ns":1000000,"at":"2025-11-24T20:29:40.001Z","input":{{"input":"poll","ingests":[{{"ref":"layer-{digest}","offset":-9223372036854775808,"total":9223372036854775807,"started_at":"2025-11-24T20:29:40.000000001Z","updated_at":"2025-11-24T20:29:40.000000002Z"}}],"leases":[{{"id":"1-abcd","created_at":"2025-11-24T20:29:40.000000005Z","labels":{{"a":"\"ü\n\u0000"}},"resources":null}},{{"id":"1-abcd","created_at":"2025-11-24T20:29:40.000000005Z","labels":{{"a":"\"ü\n\u0000"}},"resources":[]}},{{"id":"1-abcd","created_at":"2025-11-24T20:29:40.000000005Z","labels":{{"a":"\"ü\n\u0000"}},"resources":[{{"kind":"content","id":"{digest}"}}]}}]}}}}"#
        ),
        format!(
            r#"{{"mono_ns":1000000,"at":"2025-11-24T20:29:40.001Z","input":{{"input":"event","event":"content_created","digest":"{digest}","size":-1}}}}"#
        ),
        r#"{"mono_ns":1000000,"at":"2025-11-24T20:29:40.001Z","input":{"input":"answer","to":{"query":"stat","snapshotter":"overlayfs","key":"extract-1-x sha256:b"},"reply":{"reply":"snapshot","created_at":"2025-11-24T20:29:40.000000004Z","committed":true}}}"#.to_owned(),
    ];
    let lines: Vec<_> = str::from_utf8(&out).unwrap().lines().collect();
    for (line, expected) in lines.iter().zip(&expected) {
        assert_eq!(line, expected);
    }
    assert_eq!(lines.len(), expected.len());
}

#[test]
fn truncated_recording_keeps_complete_lines() {
    let out = written();
    let ends: Vec<usize> = (0..out.len()).filter(|&i| out[i] == b'\n').collect();
    for cut in 0..out.len() {
        let (inputs, error) = read_all(&out[..cut]);
        // A line that lacks only its newline is complete.
        let whole = ends.iter().filter(|&&end| end <= cut).count();
        assert_eq!(inputs.len(), whole.saturating_sub(1), "cut at {cut}");
        let in_a_line = cut > 0 && out[cut - 1] != b'\n' && !ends.contains(&cut);
        match error {
            None => assert!(!in_a_line && cut > 0, "cut at {cut}"),
            Some(RecordingError::Truncated { line }) => {
                assert!(in_a_line, "cut at {cut}");
                assert_eq!(line, whole as u64 + 1);
            }
            Some(RecordingError::NotARecording) => assert!(cut < 22, "cut at {cut}"),
            Some(error) => panic!("cut at {cut}: {error}"),
        }
    }
}

#[test]
fn newer_version_is_reported() {
    let newer = br#"{"pulltrace_recording":2,"something":"else"}"#;
    let (_, error) = read_all(newer);
    assert!(matches!(error, Some(RecordingError::UnsupportedVersion { version: 2 })));
}

#[test]
fn non_recording_is_rejected() {
    for bad in ["", "\n", "hello\n", "{}\n", "[1]\n", "\u{1f}\u{8b}", "{\"mono_ns\":1}\n"] {
        let (_, error) = read_all(bad.as_bytes());
        assert!(matches!(error, Some(RecordingError::NotARecording)), "{bad}: {error:?}");
    }
    let bad = r#"{"pulltrace_recording":1,"node":"a b","namespace":"x","started":"2025-11-24T20:29:40Z"}"#;
    let (_, error) = read_all(bad.as_bytes());
    assert!(matches!(error, Some(RecordingError::InvalidLine { line: 1, .. })), "{error:?}");
}

#[test]
fn invalid_line_is_located_and_ends_recording() {
    let out = written();
    let mut lines: Vec<&[u8]> = out.split_inclusive(|b| *b == b'\n').collect();
    lines.insert(3, b"{\"mono_ns\":\"x\"}\n");
    let (inputs, error) = read_all(&lines.concat());
    assert_eq!(inputs.len(), 2);
    assert!(matches!(error, Some(RecordingError::InvalidLine { line: 4, .. })), "{error:?}");

    lines[3] = lines[1];
    let (inputs, error) = read_all(&lines.concat());
    assert_eq!(inputs.len(), 2);
    assert!(matches!(error, Some(RecordingError::InvalidLine { line: 4, .. })), "{error:?}");
}

#[test]
fn line_length_is_limited() {
    let mut out = written();
    out.resize(out.len() + MAX_LINE + 2, b' ');
    let (read, error) = read_all(&out);
    assert_eq!(read.len(), inputs().len());
    assert!(matches!(error, Some(RecordingError::TooLong { line: 21 })), "{error:?}");

    let mut out = Vec::new();
    let mut recorder = Recorder::new(&mut out, "n1".parse().unwrap(), "k8s.io".parse().unwrap());
    let long = Input::Lost { reason: "x".repeat(MAX_LINE) };
    let error = recorder.write(now(0), &long);
    assert!(matches!(error, Err(RecorderError::TooLong(_))), "{error:?}");
    recorder.write(now(1), &Input::Event(Event::Gap)).unwrap();
}

#[test]
fn full_recording_rejects_later_inputs() {
    let mut out = Vec::new();
    let limit = 400;
    let recorder = Recorder::new(&mut out, "n1".parse().unwrap(), "k8s.io".parse().unwrap());
    let mut recorder = recorder.limit(limit);
    let gap = Input::Event(Event::Gap);
    let long = Input::Lost { reason: "x".repeat(400) };
    let mut written = 0;
    while recorder.write(now(written), &gap).is_ok() {
        written += 1;
    }
    assert!(written > 0);
    for input in [&long, &gap] {
        assert!(matches!(recorder.write(now(written), input), Err(RecorderError::Full(400))));
    }
    assert!(recorder.bytes() <= limit);
    let (inputs, error) = read_all(&out);
    assert_eq!(inputs.len() as u64, written);
    assert!(error.is_none());
}

#[test]
fn write_error_is_reported() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut recorder = Recorder::new(Full, "n1".parse().unwrap(), "k8s.io".parse().unwrap());
    let error = recorder.write(now(0), &Input::Event(Event::Gap));
    assert!(matches!(error, Err(RecorderError::Write(_))));
}

proptest::proptest! {
    #[test]
    fn reader_accepts_any_bytes_without_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400)) {
        drop(read_all(&bytes));
    }

    #[test]
    fn damaged_recording_does_not_panic(at in 0..4_000_usize, junk in ".{1,20}") {
        let mut out = written();
        let at = at % out.len();
        let end = (at + junk.len()).min(out.len());
        out.splice(at..end, junk.bytes());
        let (read, _) = read_all(&out);
        proptest::prop_assert!(read.len() <= inputs().len());
    }
}
