// A control plane of Kubernetes for the tests of pulltrace: programs of k8s.io/kubernetes as they are, in one
// binary, chosen by its first argument.
//
//	kubernetes apiserver DIR [FLAG…]   the API server, with an etcd of its own that keeps its data in DIR
//	kubernetes compact DIR             that etcd forgets all but the newest revision
//	kubernetes PROGRAM [FLAG…]         kubelet, scheduler, controller-manager: with the build tag "node"
//
// Each ends when its standard input does, so that it never outlives who started it; the API server then takes DIR
// away too, for nobody else will.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

// programs that need no etcd of ours.
var programs = map[string]func() *cobra.Command{}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "kubernetes:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("what to run, and with which arguments?")
	}
	name, dir, flags := args[0], args[1], args[2:]
	switch name {
	case "compact":
		return compact(dir)
	case "apiserver":
		go endWithInput(dir)
		key, err := signingKey(dir)
		if err != nil {
			return err
		}
		if err := serveEtcd(dir); err != nil {
			return err
		}
		become(app.NewAPIServerCommand(), name, append([]string{
			"--etcd-servers=" + endpoint(dir),
			"--service-account-signing-key-file=" + key,
			"--service-account-key-file=" + key,
		}, flags...))
	}
	program, known := programs[name]
	if !known {
		return fmt.Errorf("there is no %q here; was this built with the tag it needs?", name)
	}
	go endWithInput("")
	become(program(), name, args[1:])
	return nil
}

// become runs the command to the end of this process. Commands of Kubernetes read os.Args themselves.
func become(command *cobra.Command, name string, flags []string) {
	os.Args = append([]string{name}, flags...)
	os.Exit(cli.Run(command))
}

// endWithInput ends the process, and its data, when nobody holds the other end of its standard input any more.
func endWithInput(data string) {
	io.Copy(io.Discard, os.Stdin)
	if data != "" {
		os.RemoveAll(data)
	}
	os.Exit(0)
}
