//! Which API server is asked, as the flags say.

use std::path::Path;

use pulltrace_server_lib::cluster::kube::Config;

use crate::cli::{ClusterArgs, Whether};

/// What Kubernetes mounts into a pod that has a service account.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Which API server; `None` for none.
pub(crate) fn config(args: ClusterArgs) -> Option<Config> {
    let within = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some_and(|host| !host.is_empty())
        && Path::new(TOKEN).exists();
    wanted(args, within)
}

/// `within`: whether this is a pod with a service account.
fn wanted(args: ClusterArgs, within: bool) -> Option<Config> {
    let given = args.kubeconfig.is_some() || args.context.is_some();
    let asked = match args.kubernetes {
        Whether::Auto => given || within,
        Whether::On => true,
        Whether::Off => false,
    };
    asked.then_some(Config {
        kubeconfig: args.kubeconfig,
        context: args.context,
        namespaces: args.watch_namespaces,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_server_is_asked_where_one_is_given_or_around() {
        for (kubernetes, kubeconfig, within, asked) in [
            (Whether::Auto, None, false, false),
            (Whether::Auto, None, true, true),
            (Whether::Auto, Some("file"), false, true),
            (Whether::On, None, false, true),
            (Whether::Off, Some("file"), true, false),
        ] {
            let args = ClusterArgs {
                kubernetes,
                kubeconfig: kubeconfig.map(Into::into),
                context: None,
                watch_namespaces: vec!["shop".to_owned()],
            };
            let config = wanted(args, within);
            assert_eq!(
                config.is_some(),
                asked,
                "{kubernetes:?} {kubeconfig:?} {within}"
            );
            assert!(config.is_none_or(|config| config.namespaces == ["shop"]));
        }
    }
}
