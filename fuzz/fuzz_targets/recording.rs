//! Untrusted recordings: reading any file terminates, and everything that was read can be written
//! and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pulltrace_agent_lib::source::containerd::recording::{Recorder, Recording};

fuzz_target!(|bytes: &[u8]| {
    let Ok(recording) = Recording::open(bytes) else {
        return;
    };
    let header = recording.header().clone();
    let mut lines = Vec::new();
    for line in recording {
        match line {
            Ok(line) => lines.push(line),
            // Ends here; the lines read before are valid.
            Err(_) => break,
        }
    }
    let mut written = Vec::new();
    let mut recorder = Recorder::new(&mut written, header.node.clone(), header.namespace.clone());
    for line in &lines {
        recorder.write(line.now, &line.input).expect("write to memory");
    }
    if lines.is_empty() {
        return;
    }
    let again = Recording::open(written.as_slice()).expect("valid header");
    assert_eq!(
        (&again.header().node, &again.header().namespace),
        (&header.node, &header.namespace)
    );
    let again: Vec<_> = again.map(|line| line.expect("valid line")).collect();
    assert_eq!(again, lines);
});
