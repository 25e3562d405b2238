// Command release writes what a release carries for AWS, the file spillway_VERSION_aws.zip that
// `spillway deploy` reads:
//
//	go run ./infra/release -version v1.2.3 -o dist/spillway_v1.2.3_aws.zip
//
// The functions are built for both architectures with the toolchain of go.mod. The same sources and
// version make the same bytes. It needs Go, and neither Node.js nor the CDK.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spillwayhq/spillway/infra/bundle"
	"github.com/spillwayhq/spillway/infra/bundle/released"
	"github.com/spillwayhq/spillway/infra/functions"
	"github.com/spillwayhq/spillway/infra/topology"
)

func main() {
	version := flag.String("version", "", "of the release, like v1.2.3")
	out := flag.String("o", "", "the file to write (default dist/spillway_VERSION_aws.zip)")
	source := flag.String("source", ".", "the folder of the module")
	flag.Parse()
	if err := run(*version, *out, *source); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(version, out, source string) error {
	if version == "" || flag.NArg() > 0 {
		return errors.New("give the version: go run ./infra/release -version v1.2.3 -o FILE")
	}
	if err := bundle.CheckVersion(version); err != nil { // before minutes of building
		return err
	}
	if out == "" {
		out = filepath.Join("dist", "spillway_"+version+"_aws.zip")
	}
	folder, err := filepath.Abs(filepath.Join(source, "dist", "release"))
	if err != nil {
		return fmt.Errorf("build the functions: %w", err)
	}
	options := topology.DefaultOptions()
	options.Rollout = true
	archives := map[string]string{}
	for _, architecture := range bundle.Architectures() {
		t := topology.New(options)
		built, err := functions.Build(t.Functions, nil, source, folder, architecture)
		if err != nil {
			return err
		}
		for _, f := range t.Functions {
			archives[f.Metrics+" "+architecture] = built[f.Name]
		}
	}
	var content bytes.Buffer
	err = bundle.Write(&content, version, released.Template, func(function, architecture string) ([]byte, error) {
		return os.ReadFile(archives[function+" "+architecture])
	})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return fmt.Errorf("write %s: %w", out, err)
	}
	if err := os.WriteFile(out, content.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	return nil
}
