//! Selects the Kubernetes API server from the flags.

use std::path::Path;

use pulltrace_server_lib::cluster::kube::Config;

use crate::cli::{ClusterArgs, KubernetesMode};

/// Mounted by Kubernetes into pods with a service account.
const SERVICE_ACCOUNT_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Returns the API server to connect to; `None` disables Kubernetes.
pub(crate) fn config(args: ClusterArgs) -> Option<Config> {
    let in_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some_and(|host| !host.is_empty())
        && Path::new(SERVICE_ACCOUNT_TOKEN).exists();
    config_for(args, in_pod)
}

/// `in_pod`: running in a pod with a service account.
fn config_for(args: ClusterArgs, in_pod: bool) -> Option<Config> {
    let explicit = args.kubeconfig.is_some() || args.context.is_some();
    let enabled = match args.kubernetes {
        KubernetesMode::Auto => explicit || in_pod,
        KubernetesMode::On => true,
        KubernetesMode::Off => false,
    };
    enabled.then_some(Config {
        kubeconfig: args.kubeconfig,
        context: args.context,
        namespaces: args.watch_namespaces,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_enabled_when_configured_or_in_pod() {
        for (kubernetes, kubeconfig, within, asked) in [
            (KubernetesMode::Auto, None, false, false),
            (KubernetesMode::Auto, None, true, true),
            (KubernetesMode::Auto, Some("file"), false, true),
            (KubernetesMode::On, None, false, true),
            (KubernetesMode::Off, Some("file"), true, false),
        ] {
            let args = ClusterArgs {
                kubernetes,
                kubeconfig: kubeconfig.map(Into::into),
                context: None,
                watch_namespaces: vec!["shop".to_owned()],
            };
            let config = config_for(args, within);
            assert_eq!(config.is_some(), asked, "{kubernetes:?} {kubeconfig:?} {within}");
            assert!(config.is_none_or(|config| config.namespaces == ["shop"]));
        }
    }
}
