//! The configuration file of a private containerd. Text in, text out.

use std::fmt::Write as _;
use std::time::Duration;

use super::{ContainerdBinary, home::Home};

/// What differs from a stock containerd.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// CRI cancels a pull without progress after this time; containerd's own
    /// value when `None`. Versions before 1.7 have no such limit; from 2.1 on it
    /// begins only when a layer's first MiB is written (seen on 2.4).
    pub image_pull_progress_timeout: Option<Duration>,
    /// Pull in the CRI plugin instead of the transfer service; from 2.1 on.
    pub use_local_image_pull: bool,
    /// How many layers load at once; containerd's own value (3) when `None`.
    /// From 2.1 on any other value than 3 makes the CRI plugin pull by itself,
    /// as `use_local_image_pull` does.
    pub max_concurrent_downloads: Option<u32>,
    /// Drop a layer's blob as soon as it is unpacked. From 2.1 on this, too,
    /// makes the CRI plugin pull by itself.
    pub discard_unpacked_layers: bool,
    /// How long the garbage collector waits after a deletion; containerd's
    /// own value (0) when `None`.
    pub gc_schedule_delay: Option<Duration>,
    /// The content store gets a file system of this many MiB.
    pub content_limit_mib: Option<u64>,
    /// All its data live in a file system in memory of at most this many MiB:
    /// quick, and not slowed by what else writes to the disk.
    pub memory_mib: Option<u64>,
    /// `debug` in containerd's log.
    pub debug: bool,
    /// Registries that are reached under another name: `("docker.io",
    /// "127.0.0.1:5000")`. Names of the form 127.0.0.1:port need no entry.
    pub mirrors: Vec<(String, String)>,
    /// Lines that are added to the end of the configuration file.
    pub extra: String,
}

impl Options {
    /// A stock containerd with up to 512 MiB of data in memory: what a test
    /// takes that is not about the disk. (The kit's own tests: 4 s instead of
    /// 13 s on two cores.)
    #[must_use]
    pub fn quick() -> Self {
        Self {
            memory_mib: Some(512),
            ..Self::default()
        }
    }
}

/// Writes a TOML string.
fn quoted(text: impl std::fmt::Display) -> String {
    // TOML's basic strings take JSON's escapes.
    serde_json::Value::String(text.to_string()).to_string()
}

/// The image of a pod's sandbox; [`super::Containerd::run_sandbox`] serves it.
pub(super) const PAUSE_HOST: &str = "pause.test";
pub(super) const PAUSE_NAME: &str = "pause:1";

pub(super) fn render(
    binary: &ContainerdBinary,
    options: &Options,
    home: &Home,
    snapshotter: &str,
) -> String {
    let modern = binary.at_least(2, 0);
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!("version = {}", if modern { 3 } else { 2 }));
    line(format!("root = {}", quoted(home.root().display())));
    line(format!("state = {}", quoted(home.state().display())));
    line(r#"disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs"]"#.into());
    line(format!(
        "[grpc]\naddress = {}",
        quoted(home.socket().display())
    ));
    line(format!(
        "[ttrpc]\naddress = {}",
        quoted(home.ttrpc_socket().display())
    ));
    let level = if options.debug { "debug" } else { "info" };
    line(format!("[debug]\nlevel = {}", quoted(level)));
    if let Some(delay) = options.gc_schedule_delay {
        line(r#"[plugins."io.containerd.gc.v1.scheduler"]"#.into());
        line(format!("schedule_delay = {}", go_duration(delay)));
    }

    let images = if modern {
        "io.containerd.cri.v1.images"
    } else {
        "io.containerd.grpc.v1.cri"
    };
    line(format!("[plugins.{}]", quoted(images)));
    if let Some(timeout) = options.image_pull_progress_timeout
        && binary.at_least(1, 7)
    {
        line(format!(
            "image_pull_progress_timeout = {}",
            go_duration(timeout)
        ));
    }
    if options.use_local_image_pull && binary.at_least(2, 1) {
        line("use_local_image_pull = true".into());
    }
    if let Some(count) = options.max_concurrent_downloads {
        line(format!("max_concurrent_downloads = {count}"));
    }
    let pause = format!("{PAUSE_HOST}/{PAUSE_NAME}");
    let containerd = if modern {
        line(format!("snapshotter = {}", quoted(snapshotter)));
        line(format!(
            "discard_unpacked_layers = {}",
            options.discard_unpacked_layers
        ));
        format!(
            "[plugins.{}.pinned_images]\nsandbox = {}\n",
            quoted(images),
            quoted(&pause)
        )
    } else {
        line(format!(
            "restrict_oom_score_adj = true\nstream_server_port = \"0\"\nsandbox_image = {}",
            quoted(&pause)
        ));
        format!(
            "[plugins.{}.containerd]\nsnapshotter = {}\ndiscard_unpacked_layers = {}\n",
            quoted(images),
            quoted(snapshotter),
            options.discard_unpacked_layers
        )
    };
    line(format!(
        "[plugins.{}.registry]\nconfig_path = {}",
        quoted(images),
        quoted(home.certs().display())
    ));
    line(containerd);
    if modern {
        line(r#"[plugins."io.containerd.cri.v1.runtime"]"#.into());
        line("restrict_oom_score_adj = true".into());
        line(format!(
            "[plugins.\"io.containerd.transfer.v1.local\"]\nconfig_path = {}",
            quoted(home.certs().display())
        ));
        if snapshotter != "overlayfs" {
            line(format!(
                "[[plugins.\"io.containerd.transfer.v1.local\".unpack_config]]\nplatform = \"linux\"\nsnapshotter = {}",
                quoted(snapshotter)
            ));
        }
    }
    let runtime = if modern {
        "io.containerd.cri.v1.runtime"
    } else {
        "io.containerd.grpc.v1.cri"
    };
    line(format!(
        "[plugins.{0}.containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n\
         [plugins.{0}.containerd.runtimes.runc.options]\nRoot = {1}",
        quoted(runtime),
        quoted(home.runc().display())
    ));
    out.push_str(&options.extra);
    out
}

/// A duration as Go reads it, quoted.
fn go_duration(duration: Duration) -> String {
    quoted(format_args!("{}ms", duration.as_millis()))
}

/// The file that says where a registry of another name is.
pub(super) fn hosts_toml(registry: &str) -> String {
    let mut out = String::new();
    let url = format!("http://{registry}");
    write!(
        out,
        "server = {0}\n[host.{0}]\ncapabilities = [\"pull\", \"resolve\"]\n",
        quoted(url)
    )
    .expect("a String takes all text");
    out
}
