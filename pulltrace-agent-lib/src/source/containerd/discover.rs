//! Discovery of containerd's socket.

use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use pulltrace_core::Namespace;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::call::OnCall;
use super::client::{Cause, Client, ClientError, DEADLINE};
use super::input::ServerInfo;
use super::version::Version;

/// Default socket paths, in order of preference.
///
/// k3s and RKE2 come before the standard path: a machine with k3s may also run another containerd
/// there, e.g. Docker's, but not vice versa.
pub const SOCKETS: [&str; 2] =
    ["/run/k3s/containerd/containerd.sock", "/run/containerd/containerd.sock"];

/// A failed discovery of containerd.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoverError {
    /// The given path does not exist. A retry helps once containerd is running.
    #[error("socket `{path}` not found")]
    NotFound {
        /// The given path.
        path: PathBuf,
    },
    /// None of the default paths exists. A retry helps once containerd is running.
    #[error("no containerd socket found at `{}` or `{}`", SOCKETS[0], SOCKETS[1])]
    NoSocketFound,
    /// Permission to open the socket was denied. A retry does not help.
    #[error("permission denied for socket `{path}`")]
    PermissionDenied {
        /// The socket.
        path: PathBuf,
    },
    /// The path exists but is not a socket. A retry does not help.
    #[error("`{path}` is not a socket")]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The connection was refused, usually because the socket is left over from a stopped process.
    /// A retry helps once containerd is running.
    #[error("failed to connect to `{path}`")]
    ConnectionFailed {
        /// The socket.
        path: PathBuf,
        /// The I/O error.
        #[source]
        source: io::Error,
    },
    /// The process behind the socket does not respond. A retry may help.
    #[error("containerd at `{path}` does not respond")]
    Timeout {
        /// The socket.
        path: PathBuf,
        /// The error of the first call.
        #[source]
        source: ClientError,
    },
    /// The process behind the socket is not containerd. A retry does not help.
    #[error("the process at `{path}` is not containerd")]
    NotContainerd {
        /// The socket.
        path: PathBuf,
        /// The error of the version call.
        #[source]
        source: ClientError,
    },
}

impl DiscoverError {
    /// Returns advice for the user.
    #[must_use]
    pub const fn help(&self) -> Option<&'static str> {
        match self {
            Self::NotFound { .. } | Self::NoSocketFound | Self::ConnectionFailed { .. } => {
                Some("Start containerd, or pass the path of its socket.")
            }
            Self::PermissionDenied { .. } => {
                Some("Run as root, or as a member of the group that owns the socket.")
            }
            Self::NotASocket { .. } | Self::NotContainerd { .. } => {
                Some("Pass the path of containerd's socket.")
            }
            Self::Timeout { .. } => Some("Check whether containerd hangs."),
        }
    }
}

/// A discovered containerd.
#[derive(Debug)]
pub(super) struct Discovered {
    pub(super) path: PathBuf,
    pub(super) client: Client,
    pub(super) server: ServerInfo,
    /// True if the namespace exists. It is created with the first image.
    pub(super) has_namespace: bool,
}

/// The result of [`detect`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContainerdInfo {
    /// The socket.
    pub socket: PathBuf,
    /// Version as reported: `v2.4.2`.
    pub version: String,
    /// True if the version is supported: 1.6 to 2.x.
    pub is_supported: bool,
    /// True if the namespace exists. It is created with the first image.
    pub has_namespace: bool,
}

/// Tries once to connect to the containerd at this socket, or at the default paths.
///
/// # Errors
/// Returns an error if no containerd responds. Most errors need a change on the node before a
/// retry.
pub async fn detect(
    socket: Option<&Path>,
    namespace: &Namespace,
) -> Result<ContainerdInfo, DiscoverError> {
    let found = find(socket, namespace, &OnCall::default()).await?;
    Ok(ContainerdInfo {
        socket: found.path,
        is_supported: Version::parse(&found.server.version).is_supported(),
        version: found.server.version,
        has_namespace: found.has_namespace,
    })
}

/// Connects to the given socket, or to the best of the default ones.
pub(super) async fn find(
    socket: Option<&Path>,
    namespace: &Namespace,
    on_call: &OnCall,
) -> Result<Discovered, DiscoverError> {
    if let Some(path) = socket {
        return probe_socket(path, namespace, on_call).await;
    }
    let mut probes = Vec::new();
    for path in SOCKETS {
        let look = probe_socket(Path::new(path), namespace, on_call).await;
        let done = look.as_ref().is_ok_and(|found| found.has_namespace);
        probes.push(look);
        if done {
            break;
        }
    }
    choose_socket(probes, |found| found.has_namespace)
}

/// Chooses the first result with the namespace, else the first success (a new node has no namespace
/// yet), else the most specific error.
fn choose_socket<T>(
    looks: Vec<Result<T, DiscoverError>>,
    has_namespace: impl Fn(&T) -> bool,
) -> Result<T, DiscoverError> {
    let mut answers = None;
    let mut error: Option<DiscoverError> = None;
    for look in looks {
        match look {
            Ok(found) if has_namespace(&found) => return Ok(found),
            Ok(found) => answers = answers.or(Some(found)),
            Err(new) => {
                if error.as_ref().is_none_or(|old| specificity(&new) > specificity(old)) {
                    error = Some(new);
                }
            }
        }
    }
    match (answers, error) {
        (Some(found), _) => Ok(found),
        (None, Some(DiscoverError::NotFound { .. }) | None) => Err(DiscoverError::NoSocketFound),
        (None, Some(error)) => Err(error),
    }
}

/// Ranks errors: a path that does not exist is less significant than a socket that does not work.
fn specificity(error: &DiscoverError) -> u8 {
    match error {
        DiscoverError::NotFound { .. } | DiscoverError::NoSocketFound => 0,
        DiscoverError::NotASocket { .. } => 1,
        DiscoverError::ConnectionFailed { .. } => 2,
        DiscoverError::NotContainerd { .. } => 3,
        DiscoverError::Timeout { .. } => 4,
        DiscoverError::PermissionDenied { .. } => 5,
    }
}

async fn probe_socket(
    path: &Path,
    namespace: &Namespace,
    on_call: &OnCall,
) -> Result<Discovered, DiscoverError> {
    let path = path.to_owned();
    // The gRPC client reports all of these as one vague error, so the plain socket is checked
    // first.
    match std::fs::metadata(&path) {
        Ok(data) if !data.file_type().is_socket() => {
            return Err(DiscoverError::NotASocket { path });
        }
        Ok(_) => {}
        Err(error) => return Err(classify_io_error(path, error)),
    }
    let connected = timeout(DEADLINE, UnixStream::connect(&path)).await;
    match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(stream) => drop(stream),
        Err(error) => return Err(classify_io_error(path, error)),
    }
    let ask = async {
        let client = Client::new(&path, namespace, on_call.clone())?;
        let server = client.server().await?;
        let has_namespace = client.has_namespace().await?;
        Ok::<_, ClientError>((client, server, has_namespace))
    };
    match ask.await {
        Ok::<_, ClientError>((client, server, has_namespace)) => {
            Ok(Discovered { path, client, server, has_namespace })
        }
        Err(source) if source.cause() == Some(&Cause::Timeout) => {
            Err(DiscoverError::Timeout { path, source })
        }
        Err(source) => Err(DiscoverError::NotContainerd { path, source }),
    }
}

fn classify_io_error(path: PathBuf, error: io::Error) -> DiscoverError {
    match error.kind() {
        io::ErrorKind::NotFound => DiscoverError::NotFound { path },
        io::ErrorKind::PermissionDenied => DiscoverError::PermissionDenied { path },
        io::ErrorKind::NotADirectory => DiscoverError::NotASocket { path },
        _ => DiscoverError::ConnectionFailed { path, source: error },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::time::Duration;

    use super::*;

    fn missing() -> DiscoverError {
        DiscoverError::NotFound { path: "/a".into() }
    }

    fn not_permitted() -> DiscoverError {
        DiscoverError::PermissionDenied { path: "/b".into() }
    }

    #[test]
    fn first_socket_with_namespace_wins() {
        let chosen = |looks| choose_socket::<(u8, bool)>(looks, |found| found.1);
        assert_eq!(chosen(vec![Ok((1, true)), Ok((2, true))]).unwrap().0, 1);
        assert_eq!(chosen(vec![Ok((1, false)), Ok((2, true))]).unwrap().0, 2);
        assert_eq!(chosen(vec![Ok((1, false)), Ok((2, false))]).unwrap().0, 1);
        assert_eq!(chosen(vec![Err(not_permitted()), Ok((2, false))]).unwrap().0, 2);
    }

    #[test]
    fn most_specific_error_is_returned() {
        let fail = |looks| choose_socket::<()>(looks, |()| true).unwrap_err();
        let error = fail(vec![Err(missing()), Err(not_permitted())]);
        assert!(matches!(error, DiscoverError::PermissionDenied { .. }));
        let error = fail(vec![Err(not_permitted()), Err(missing())]);
        assert!(matches!(error, DiscoverError::PermissionDenied { .. }));
        let error = fail(vec![Err(missing()), Err(missing())]);
        assert!(matches!(error, DiscoverError::NoSocketFound));
    }

    async fn find_error(path: &Path) -> DiscoverError {
        let namespace = "k8s.io".parse().unwrap();
        find(Some(path), &namespace, &OnCall::default())
            .await
            .expect_err("no containerd should be found")
    }

    /// A temporary directory, removed on drop.
    struct TempFolder(PathBuf);

    impl TempFolder {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("pulltrace-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for TempFolder {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }

    #[tokio::test]
    async fn invalid_paths_return_distinct_errors() {
        let folder = TempFolder::new("paths");
        let path = |name: &str| folder.0.join(name);

        let error = find_error(&path("missing.sock")).await;
        assert!(matches!(error, DiscoverError::NotFound { .. }), "{error:?}");

        std::fs::write(path("file"), "x").unwrap();
        let error = find_error(&path("file")).await;
        assert!(matches!(error, DiscoverError::NotASocket { .. }), "{error:?}");
        let error = find_error(&path("file/x.sock")).await;
        assert!(matches!(error, DiscoverError::NotASocket { .. }), "{error:?}");

        // A stale socket.
        drop(UnixListener::bind(path("left.sock")).unwrap());
        let error = find_error(&path("left.sock")).await;
        assert!(matches!(error, DiscoverError::ConnectionFailed { .. }), "{error:?}");
        assert!(!error.to_string().contains('\n'), "{error}");
        assert_eq!(error.help(), Some("Start containerd, or pass the path of its socket."));
    }

    #[tokio::test]
    async fn other_protocol_is_not_containerd() {
        let folder = TempFolder::new("other");
        let path = folder.0.join("docker.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let server = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
                // The client may have disconnected.
                _ = stream.writable().await.and_then(|()| stream.try_write(answer));
            }
        });
        let error = find_error(&path).await;
        server.abort();
        assert!(matches!(error, DiscoverError::NotContainerd { .. }), "{error:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn hanging_socket_times_out() {
        let folder = TempFolder::new("hangs");
        let path = folder.0.join("containerd.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let error = timeout(Duration::from_secs(60), find_error(&path)).await.unwrap();
        assert!(matches!(error, DiscoverError::Timeout { .. }), "{error:?}");
    }
}
