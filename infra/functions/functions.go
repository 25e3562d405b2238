// Package functions builds the archives of the Lambda functions. The CDK app deploys them, and a
// release carries them.
package functions

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/klauspost/compress/flate"

	"github.com/spillwayhq/spillway/infra/topology"
)

// Build builds functions below folder, for the architecture arm64 or x86_64, and returns the paths of
// their archives by the functions' names; source is the folder of the module, and beside has files
// that go into the archive of a function, by the function's name. Its flags and its Go make the
// same bytes of the same sources everywhere: a deployment of unchanged sources changes nothing. It
// needs Go, but no Docker.
func Build(functions []topology.Function, beside map[string][]File, source, folder, architecture string) (
	archives map[string]string, err error) {
	toolchain, err := readToolchain(source)
	if err != nil {
		return nil, err
	}
	environ := buildEnvironment(toolchain, architecture)
	archives = map[string]string{}
	for _, f := range functions {
		out := filepath.Join(folder, architecture, f.Metrics)
		binary := filepath.Join(out, Bootstrap)
		if err := os.MkdirAll(out, 0o755); err != nil {
			return nil, fmt.Errorf("build the function %s: %w", f.Name, err)
		}
		command := exec.Command("go", "build", "-tags", "lambda.norpc", "-trimpath", "-buildvcs=false", "-ldflags",
			"-s -w -buildid=",
			"-o", binary, "./functions/"+f.Metrics)
		command.Dir = source
		command.Env = environ
		if output, err := command.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build the function %s with %s, the toolchain of go.mod: %w\n%s", f.Name, toolchain, err,
				strings.TrimSpace(string(output)))
		}
		content, err := os.ReadFile(binary)
		if err == nil {
			err = Pack(binary+".zip", append([]File{{Bootstrap, content}}, beside[f.Name]...)...)
		}
		if err != nil {
			return nil, fmt.Errorf("pack the function %s: %w", f.Name, err)
		}
		archives[f.Name] = binary + ".zip"
	}
	return archives, nil
}

// buildEnvironment is the environment of go build: whatever else the caller's environment says, it
// must not change the bytes. Go downloads the toolchain if it is another one itself.
func buildEnvironment(toolchain, architecture string) []string {
	goarch := map[string]string{"arm64": "arm64", "x86_64": "amd64"}[architecture]
	return append(os.Environ(), "GOTOOLCHAIN="+toolchain, "GOOS=linux", "GOARCH="+goarch, "CGO_ENABLED=0",
		"GOFLAGS=-mod=readonly", "GOWORK=off", "GOARM64=v8.0", "GOAMD64=v1", "GOEXPERIMENT=", "GOFIPS140=off")
}

var toolchainLine = regexp.MustCompile(`(?m)^toolchain (go\S+)`)

// readToolchain is the version of Go that builds the functions. go.mod names it: patch releases of
// Go make different bytes of the same sources.
func readToolchain(source string) (string, error) {
	content, err := os.ReadFile(filepath.Join(source, "go.mod"))
	if err != nil {
		return "", fmt.Errorf("read which Go builds the functions: %w", err)
	}
	line := toolchainLine.FindSubmatch(content)
	if line == nil {
		return "", errors.New("read which Go builds the functions: go.mod must have a line like toolchain " +
			runtime.Version())
	}
	return string(line[1]), nil
}

// Bootstrap is the file that Lambda starts in a function with an OS-only runtime.
const Bootstrap = "bootstrap"

// A File is one of an archive.
type File struct {
	Name    string
	Content []byte
}

// Pack writes the archive for Lambda. The CDK's command line could do that, but takes the files'
// modes from the disk: on Windows they are not executable, and every invocation would fail with
// Runtime.InvalidEntrypoint.
func Pack(archive string, files ...File) (err error) {
	f, err := os.Create(archive)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z := zip.NewWriter(f)
	// The compressor of go.mod, because that of the standard library is another one in other
	// versions of Go, and this program may run with any.
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(w, 6) // of 9: the last 2.5 % would take seven times as long
	})
	for _, file := range files {
		// A fixed time, so that the same files make the same archive. It is the first that the
		// format has: without one the archive says day 0 of month 0, which some programs can't
		// read.
		header := &zip.FileHeader{Name: file.Name, Method: zip.Deflate,
			Modified: time.Date(1980, time.January, 1, 0, 0, 0, 0, time.UTC)}
		header.SetMode(0o755)
		w, err := z.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := w.Write(file.Content); err != nil {
			return err
		}
	}
	return z.Close()
}
