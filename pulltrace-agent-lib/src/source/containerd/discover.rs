//! Which socket is containerd's: where to look, in which order, and what to say where none is.

use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use pulltrace_core::Namespace;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::call::OnCall;
use super::client::{Cause, Client, ClientError, DEADLINE};
use super::input::Server;

/// Where to look while nobody says where the socket is, the first that fits wins.
///
/// k3s and RKE2 come before the stock path, since a machine with k3s may have another containerd there (of
/// Docker, say), but not the other way round.
pub const SOCKETS: [&str; 2] = [
    "/run/k3s/containerd/containerd.sock",
    "/run/containerd/containerd.sock",
];

/// No containerd was found. Each message is one line that says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoverError {
    /// Nothing is at the path that was given.
    #[error("there is no `{path}`: start containerd, or give the path of its socket")]
    Missing {
        /// The path that was given.
        path: PathBuf,
    },
    /// Nothing is at any of the usual paths.
    #[error("there is neither `{}` nor `{}`: start containerd, or give the path of its socket", SOCKETS[0], SOCKETS[1])]
    NoneFound,
    /// The socket may not be opened.
    #[error(
        "not permitted to open `{path}`: run as root, or as a member of the group that owns it"
    )]
    NotPermitted {
        /// The socket.
        path: PathBuf,
    },
    /// A file, a folder or something else.
    #[error("`{path}` is no socket: give the path of containerd's socket")]
    NoSocket {
        /// What is no socket.
        path: PathBuf,
    },
    /// The socket is left over from a process that is gone, or cannot be opened for another reason.
    #[error("nobody answers at `{path}`: start containerd, or give the path of its socket")]
    Silent {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Something listens, and does not answer in time.
    #[error("what listens at `{path}` does not answer: see whether containerd hangs")]
    NoAnswer {
        /// The socket.
        path: PathBuf,
        /// What the first call gave.
        #[source]
        source: ClientError,
    },
    /// Something listens, but it is not containerd.
    #[error("what listens at `{path}` is not containerd: give the path of its socket")]
    NotContainerd {
        /// The socket.
        path: PathBuf,
        /// What the call for the version gave.
        #[source]
        source: ClientError,
    },
}

/// A containerd that answers.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) client: Client,
    pub(super) server: Server,
    /// Whether it has the namespace: one that never had an image has not.
    pub(super) has_namespace: bool,
}

/// A containerd as it answered once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sighting {
    /// Its socket.
    pub socket: PathBuf,
    /// Its version, as it says it: `v2.4.2`.
    pub version: String,
    /// Whether that is one that was tried: 1.6 to 2.x.
    pub is_known: bool,
    /// Whether it has the namespace: one that never had an image has not.
    pub has_namespace: bool,
}

/// Looks once, as a source does it, for the containerd behind this socket or behind the usual ones.
///
/// # Errors
/// Where none answers. A retry helps once somebody did what the message says.
pub async fn look(socket: Option<&Path>, namespace: &Namespace) -> Result<Sighting, DiscoverError> {
    let found = find(socket, namespace, &OnCall::default()).await?;
    Ok(Sighting {
        socket: found.path,
        is_known: is_known(&found.server.version),
        version: found.server.version,
        has_namespace: found.has_namespace,
    })
}

/// Looks at the given socket, or at the usual ones.
pub(super) async fn find(
    socket: Option<&Path>,
    namespace: &Namespace,
    on_call: &OnCall,
) -> Result<Found, DiscoverError> {
    if let Some(path) = socket {
        return probe(path, namespace, on_call).await;
    }
    let mut looks = Vec::new();
    for path in SOCKETS {
        let look = probe(Path::new(path), namespace, on_call).await;
        let done = look.as_ref().is_ok_and(|found| found.has_namespace);
        looks.push(look);
        if done {
            break;
        }
    }
    choose(looks, |found| found.has_namespace)
}

/// Of what was found at the usual places, in their order: the first that has the namespace, else the first
/// that answers (a new node has no namespace yet), else the error that tells most.
fn choose<T>(
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
                if error
                    .as_ref()
                    .is_none_or(|old| telling(&new) > telling(old))
                {
                    error = Some(new);
                }
            }
        }
    }
    match (answers, error) {
        (Some(found), _) => Ok(found),
        (None, Some(DiscoverError::Missing { .. }) | None) => Err(DiscoverError::NoneFound),
        (None, Some(error)) => Err(error),
    }
}

/// How much an error says of what is wrong: that one of several places is empty says nothing.
fn telling(error: &DiscoverError) -> u8 {
    match error {
        DiscoverError::Missing { .. } | DiscoverError::NoneFound => 0,
        DiscoverError::NoSocket { .. } => 1,
        DiscoverError::Silent { .. } => 2,
        DiscoverError::NotContainerd { .. } => 3,
        DiscoverError::NoAnswer { .. } => 4,
        DiscoverError::NotPermitted { .. } => 5,
    }
}

async fn probe(
    path: &Path,
    namespace: &Namespace,
    on_call: &OnCall,
) -> Result<Found, DiscoverError> {
    let path = path.to_owned();
    // The channel of the client would say all of this in one vague sentence, so the plain socket is asked first.
    match std::fs::metadata(&path) {
        Ok(data) if !data.file_type().is_socket() => return Err(DiscoverError::NoSocket { path }),
        Ok(_) => {}
        Err(error) => return Err(refused(path, error)),
    }
    let connected = timeout(DEADLINE, UnixStream::connect(&path)).await;
    match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(stream) => drop(stream),
        Err(error) => return Err(refused(path, error)),
    }
    let ask = async {
        let client = Client::new(&path, namespace, on_call.clone())?;
        let server = client.server().await?;
        let has_namespace = client.has_namespace().await?;
        Ok::<_, ClientError>((client, server, has_namespace))
    };
    match ask.await {
        Ok::<_, ClientError>((client, server, has_namespace)) => Ok(Found {
            path,
            client,
            server,
            has_namespace,
        }),
        Err(source) if source.cause() == Some(&Cause::Timeout) => {
            Err(DiscoverError::NoAnswer { path, source })
        }
        Err(source) => Err(DiscoverError::NotContainerd { path, source }),
    }
}

fn refused(path: PathBuf, error: io::Error) -> DiscoverError {
    match error.kind() {
        io::ErrorKind::NotFound => DiscoverError::Missing { path },
        io::ErrorKind::PermissionDenied => DiscoverError::NotPermitted { path },
        io::ErrorKind::NotADirectory => DiscoverError::NoSocket { path },
        _ => DiscoverError::Silent {
            path,
            source: error,
        },
    }
}

/// Whether this version of containerd is one that the tracker's rules were checked on: 1.6 to 2.x.
pub(super) fn is_known(version: &str) -> bool {
    let mut numbers = version.trim_start_matches('v').split('.').map(|part| {
        let end = part
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(part.len());
        part.get(..end)
            .and_then(|digits| digits.parse::<u32>().ok())
    });
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(1), Some(minor)) => minor >= 6,
        (Some(2), Some(_)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_versions_that_were_checked_are_known() {
        for known in [
            "1.6.20~ds1",
            "v1.7.34",
            "v2.0.0-rc.1",
            "v2.4.2",
            "2.9.0+k3s1",
        ] {
            assert!(is_known(known), "{known}");
        }
        for other in [
            "v1.5.18",
            "v3.0.0",
            "",
            "dev",
            "1",
            "1.x",
            "v1..6",
            "99999999999.1",
        ] {
            assert!(!is_known(other), "{other}");
        }
    }

    fn missing() -> DiscoverError {
        DiscoverError::Missing { path: "/a".into() }
    }

    fn not_permitted() -> DiscoverError {
        DiscoverError::NotPermitted { path: "/b".into() }
    }

    #[test]
    fn the_first_with_the_namespace_wins() {
        let chosen = |looks| choose::<(u8, bool)>(looks, |found| found.1);
        assert_eq!(chosen(vec![Ok((1, true)), Ok((2, true))]).unwrap().0, 1);
        assert_eq!(chosen(vec![Ok((1, false)), Ok((2, true))]).unwrap().0, 2);
        assert_eq!(chosen(vec![Ok((1, false)), Ok((2, false))]).unwrap().0, 1);
        assert_eq!(
            chosen(vec![Err(not_permitted()), Ok((2, false))])
                .unwrap()
                .0,
            2
        );
    }

    #[test]
    fn the_error_that_tells_most_is_told() {
        let error = |looks| choose::<()>(looks, |()| true).unwrap_err();
        let told = error(vec![Err(missing()), Err(not_permitted())]);
        assert!(matches!(told, DiscoverError::NotPermitted { .. }));
        let told = error(vec![Err(not_permitted()), Err(missing())]);
        assert!(matches!(told, DiscoverError::NotPermitted { .. }));
        let told = error(vec![Err(missing()), Err(missing())]);
        assert!(matches!(told, DiscoverError::NoneFound));
    }

    async fn look(path: &Path) -> DiscoverError {
        let namespace = "k8s.io".parse().unwrap();
        find(Some(path), &namespace, &OnCall::default())
            .await
            .expect_err("a containerd was found")
    }

    /// A folder of this test alone, removed at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("pulltrace-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }

    #[tokio::test]
    async fn each_kind_of_wrong_path_is_told_apart() {
        let folder = Folder::new("paths");
        let path = |name: &str| folder.0.join(name);

        let error = look(&path("missing.sock")).await;
        assert!(matches!(error, DiscoverError::Missing { .. }), "{error:?}");

        std::fs::write(path("file"), "x").unwrap();
        let error = look(&path("file")).await;
        assert!(matches!(error, DiscoverError::NoSocket { .. }), "{error:?}");
        let error = look(&path("file/x.sock")).await;
        assert!(matches!(error, DiscoverError::NoSocket { .. }), "{error:?}");

        // A socket that outlived its process.
        drop(UnixListener::bind(path("left.sock")).unwrap());
        let error = look(&path("left.sock")).await;
        assert!(matches!(error, DiscoverError::Silent { .. }), "{error:?}");
        for line in [error.to_string(), DiscoverError::NoneFound.to_string()] {
            assert!(
                !line.contains('\n') && line.contains("start containerd"),
                "{line}"
            );
        }
    }

    #[tokio::test]
    async fn what_speaks_something_else_is_not_containerd() {
        let folder = Folder::new("other");
        let path = folder.0.join("docker.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let server = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
                // The other side may have gone already.
                _ = stream
                    .writable()
                    .await
                    .and_then(|()| stream.try_write(answer));
            }
        });
        let error = look(&path).await;
        server.abort();
        assert!(
            matches!(error, DiscoverError::NotContainerd { .. }),
            "{error:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_hangs_is_given_up() {
        let folder = Folder::new("hangs");
        let path = folder.0.join("containerd.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let error = timeout(Duration::from_secs(60), look(&path)).await.unwrap();
        assert!(matches!(error, DiscoverError::NoAnswer { .. }), "{error:?}");
    }
}
