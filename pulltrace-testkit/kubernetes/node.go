//go:build node

package main

import (
	"context"

	"github.com/spf13/cobra"
	manager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// What makes a machine a node, and pods of deployments and daemon sets.
func init() {
	programs["controller-manager"] = manager.NewControllerManagerCommand
	programs["kubelet"] = func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) }
	programs["scheduler"] = func() *cobra.Command { return scheduler.NewSchedulerCommand() }
}
