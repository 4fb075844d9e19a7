package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
)

// How long etcd may take to start, or to compact.
const patience = 30 * time.Second

// endpoint is where the etcd of this folder listens: a socket, since no port is free for sure.
func endpoint(dir string) string { return "unix://" + filepath.Join(dir, "etcd.sock") }

// serveEtcd starts the etcd of this folder inside this process, and returns when it takes writes.
func serveEtcd(dir string) error {
	config := embed.NewConfig()
	config.Dir = filepath.Join(dir, "etcd")
	config.LogLevel = "error"
	// A test's data need not survive a crash of the machine.
	config.UnsafeNoFsync = true
	config.ListenClientUrls = []url.URL{{Scheme: "unix", Path: filepath.Join(dir, "etcd.sock")}}
	// It has no peers: any abstract socket will do. What it tells of itself must look like an address.
	config.ListenPeerUrls = []url.URL{{Scheme: "unix"}}
	none := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	config.AdvertiseClientUrls, config.AdvertisePeerUrls = none, none
	config.InitialCluster = config.InitialClusterFromName(config.Name)

	server, err := embed.StartEtcd(config)
	if err != nil {
		return fmt.Errorf("start etcd in %s: %w", config.Dir, err)
	}
	select {
	case <-server.Server.ReadyNotify():
		return nil
	case err := <-server.Err():
		return fmt.Errorf("etcd in %s: %w", config.Dir, err)
	case <-time.After(patience):
		return fmt.Errorf("etcd in %s is not ready after %s", config.Dir, patience)
	}
}

// compact makes the running etcd of this folder forget its past, as a cluster does every few minutes.
func compact(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, err := clientv3.New(clientv3.Config{Context: ctx, Endpoints: []string{endpoint(dir)}})
	if err != nil {
		return err
	}
	defer client.Close()
	// Any answer says which revision is the newest.
	answer, err := client.Get(ctx, "any")
	if err != nil {
		return fmt.Errorf("ask etcd for its revision: %w", err)
	}
	if _, err := client.Compact(ctx, answer.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		return fmt.Errorf("compact etcd at revision %d: %w", answer.Header.Revision, err)
	}
	return nil
}

// signingKey is the file of the key that signs tokens of service accounts. It is made once: tokens outlive a
// restart.
func signingKey(dir string) (string, error) {
	file := filepath.Join(dir, "service-accounts.key")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return "", err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	return file, os.WriteFile(file, text, 0o600)
}
