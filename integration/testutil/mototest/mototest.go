// Package mototest starts moto for a test: a server that stands in for AWS, with the types of
// CloudFormation resources that the stack has.
package mototest

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Need says how to get moto.
const Need = "moto: python3 -m pip install -r infra/aws/requirements.txt"

// Account is that of every caller.
const Account = "123456789012"

// Start starts moto until the end of the test, and returns its URL and the Python that has moto.
// top is the folder of the module. The test fails where moto is not installed. From here on the AWS
// tools use moto, with credentials that do for it, and nothing of this machine's configuration.
func Start(t *testing.T, top string) (url, python string) {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err == nil {
		err = exec.Command(python, "-c", "import moto.server, boto3").Run()
	}
	if err != nil {
		t.Fatal("needs " + Need)
	}
	OwnConfiguration(t)
	server := exec.Command(python, filepath.Join(top, "infra", "aws", "testdata", "motoserver.py"), "serve")
	var log bytes.Buffer
	server.Stderr = &log
	stdin, err := server.StdinPipe() // it serves until its input ends, also if this test is killed
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		if err := server.Wait(); err != nil || t.Failed() {
			t.Logf("moto ended with %v\n%s", err, &log)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("moto did not start: %v", err)
	}
	url = strings.TrimSpace(line)
	t.Setenv("AWS_ENDPOINT_URL", url)
	return url, python
}

// OwnConfiguration replaces this machine's configuration of the AWS tools by that of the tests.
func OwnConfiguration(t *testing.T) {
	t.Helper()
	for variable, value := range map[string]string{"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
		"AWS_REGION": "eu-west-1", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "*", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_DEFAULT_PROFILE": ""} {
		t.Setenv(variable, value)
		if value == "" { // to boto3 an empty profile is one that does not exist
			os.Unsetenv(variable)
		}
	}
}
