//! Renders the configuration file of a private containerd.

use std::fmt::Write as _;
use std::time::Duration;

use super::binary::ContainerdBinary;
use super::home::Home;

/// Settings that differ from a stock containerd.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// CRI cancels a pull that makes no progress for this long; containerd's default when `None`.
    /// Versions before 1.7 have no such limit. From 2.1 on the timer starts only when the first MiB
    /// of a layer is written (observed on 2.4).
    pub image_pull_progress_timeout: Option<Duration>,
    /// Pull in the CRI plugin instead of the transfer service (2.1 and later).
    pub use_local_image_pull: bool,
    /// The number of layers to download at once; containerd's default (3) when `None`. From 2.1 on
    /// any value other than 3 makes the CRI plugin pull by itself, like `use_local_image_pull`.
    pub max_concurrent_downloads: Option<u32>,
    /// Discard a layer's blob once it is unpacked. From 2.1 on this also makes the CRI plugin pull
    /// by itself.
    pub discard_unpacked_layers: bool,
    /// The delay of the garbage collector after a deletion; containerd's default (0) when `None`.
    pub gc_schedule_delay: Option<Duration>,
    /// Mount a tmpfs of this many MiB as the content store.
    pub content_limit_mib: Option<u64>,
    /// Mount a tmpfs of this many MiB for all data: fast, and not slowed by other disk writes.
    pub memory_mib: Option<u64>,
    /// Log at level `debug`.
    pub debug: bool,
    /// Registries that are reached under another name: `("docker.io", "127.0.0.1:5000")`. Names of
    /// the form 127.0.0.1:port need no entry.
    pub mirrors: Vec<(String, String)>,
    /// Lines appended to the configuration file.
    pub extra: String,
}

impl Options {
    /// A stock containerd with up to 512 MiB of data in memory, for tests that are not about the
    /// disk. (The kit's own tests take 4 s instead of 13 s on two cores.)
    #[must_use]
    pub fn in_memory() -> Self {
        Self { memory_mib: Some(512), ..Self::default() }
    }
}

/// Quotes a TOML string.
fn toml_string(text: impl std::fmt::Display) -> String {
    // TOML's basic strings accept JSON's escapes.
    serde_json::Value::String(text.to_string()).to_string()
}

/// The sandbox image, served by [`super::Containerd::serve_sandbox_image`].
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
    line(format!("root = {}", toml_string(home.root().display())));
    line(format!("state = {}", toml_string(home.state().display())));
    line(r#"disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs"]"#.into());
    line(format!("[grpc]\naddress = {}", toml_string(home.socket().display())));
    line(format!("[ttrpc]\naddress = {}", toml_string(home.ttrpc_socket().display())));
    let level = if options.debug { "debug" } else { "info" };
    line(format!("[debug]\nlevel = {}", toml_string(level)));
    if let Some(delay) = options.gc_schedule_delay {
        line(r#"[plugins."io.containerd.gc.v1.scheduler"]"#.into());
        line(format!("schedule_delay = {}", go_duration(delay)));
    }

    let images = if modern { "io.containerd.cri.v1.images" } else { "io.containerd.grpc.v1.cri" };
    line(format!("[plugins.{}]", toml_string(images)));
    if let Some(timeout) = options.image_pull_progress_timeout
        && binary.at_least(1, 7)
    {
        line(format!("image_pull_progress_timeout = {}", go_duration(timeout)));
    }
    if options.use_local_image_pull && binary.at_least(2, 1) {
        line("use_local_image_pull = true".into());
    }
    if let Some(count) = options.max_concurrent_downloads {
        line(format!("max_concurrent_downloads = {count}"));
    }
    let pause = format!("{PAUSE_HOST}/{PAUSE_NAME}");
    let containerd = if modern {
        line(format!("snapshotter = {}", toml_string(snapshotter)));
        line(format!("discard_unpacked_layers = {}", options.discard_unpacked_layers));
        format!(
            "[plugins.{}.pinned_images]\nsandbox = {}\n",
            toml_string(images),
            toml_string(&pause)
        )
    } else {
        line(format!(
            "restrict_oom_score_adj = true\nstream_server_port = \"0\"\nsandbox_image = {}",
            toml_string(&pause)
        ));
        format!(
            "[plugins.{}.containerd]\nsnapshotter = {}\ndiscard_unpacked_layers = {}\n",
            toml_string(images),
            toml_string(snapshotter),
            options.discard_unpacked_layers
        )
    };
    line(format!(
        "[plugins.{}.registry]\nconfig_path = {}",
        toml_string(images),
        toml_string(home.certs().display())
    ));
    line(containerd);
    if modern {
        line(r#"[plugins."io.containerd.cri.v1.runtime"]"#.into());
        line("restrict_oom_score_adj = true".into());
        line(format!(
            "[plugins.\"io.containerd.transfer.v1.local\"]\nconfig_path = {}",
            toml_string(home.certs().display())
        ));
        if snapshotter != "overlayfs" {
            line(format!(
                "[[plugins.\"io.containerd.transfer.v1.local\".unpack_config]]\nplatform = \"linux\"\nsnapshotter = {}",
                toml_string(snapshotter)
            ));
        }
    }
    let runtime = if modern { "io.containerd.cri.v1.runtime" } else { "io.containerd.grpc.v1.cri" };
    line(format!(
        "[plugins.{0}.containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n\
         [plugins.{0}.containerd.runtimes.runc.options]\nRoot = {1}",
        toml_string(runtime),
        toml_string(home.runc().display())
    ));
    out.push_str(&options.extra);
    out
}

/// Formats a duration as a quoted Go duration.
fn go_duration(duration: Duration) -> String {
    toml_string(format_args!("{}ms", duration.as_millis()))
}

/// Renders the `hosts.toml` that redirects a host name to the registry at this address.
pub(super) fn hosts_toml(registry: &str) -> String {
    let mut out = String::new();
    let url = format!("http://{registry}");
    write!(
        out,
        "server = {0}\n[host.{0}]\ncapabilities = [\"pull\", \"resolve\"]\n",
        toml_string(url)
    )
    .expect("writing to a String cannot fail");
    out
}
