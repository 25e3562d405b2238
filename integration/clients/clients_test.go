package clients

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/integration/testutil/localtest"
)

func TestMain(m *testing.M) { testutil.Main(m) }

// whole says that nothing is left out: no client that is missing, and none that takes long.
var whole = os.Getenv("SPILLWAY_REQUIRE_CLIENTS") == "1"

// scriptTimeout is far more than the slowest script needs (the CLI: some 30 processes of about a
// second).
const scriptTimeout = 5 * time.Minute

// client is a script and what it needs; probe is a command that succeeds where that is installed. A
// script without one looks itself, and ends with the exit code missing.
type client struct {
	script  []string
	probe   []string
	install string
}

const missing = 3

func TestBoto3WorksWithTheSQSEmulator(t *testing.T) {
	t.Parallel()
	run(t, client{
		script:  []string{"python3", "sqs_boto3.py"},
		install: "apt-get install python3-boto3 (Debian 13 or later), or pip install -r integration/clients/requirements.txt",
	})
}

func TestTheJavaScriptSDKWorksWithTheSQSEmulator(t *testing.T) {
	t.Parallel()
	run(t, client{
		script:  []string{"node", "sqs_js.mjs"},
		probe:   []string{"node", "--input-type=module", "-e", "import '@aws-sdk/client-sqs'"},
		install: "Node.js 20 or later (apt-get install nodejs npm), then npm ci in integration/clients",
	})
}

func TestTheAWSCLIWorksWithTheSQSEmulator(t *testing.T) {
	if !whole {
		t.Skip("SPILLWAY_REQUIRE_CLIENTS=1 runs it: each of 33 steps takes half a second of CPU, and boto3 has the same " +
			"code beneath")
	}
	t.Parallel()
	run(t, client{
		script: []string{"bash", "sqs_cli.sh"},
		probe:  []string{"sh", "-c", "python3 --version && " + cliSpeaksJSON},
		install: "apt-get install awscli python3 (Debian 13 or later), or pip install -r " +
			"integration/clients/requirements.txt",
	})
}

func TestTheGoCloudDriverConformsWithTheSQSEmulator(t *testing.T) {
	t.Parallel()
	run(t, client{
		script:  []string{"sh", "-c", `out=$(go run -C gocloud . 2>&1) && echo OK || echo "$out"`},
		probe:   []string{"sh", "-c", "GOPROXY=off GOFLAGS=-mod=readonly go list -C gocloud -deps . >/dev/null"},
		install: "go mod download in integration/clients/gocloud",
	})
}

// cliSpeaksJSON succeeds if the CLI speaks the JSON protocol: --debug shows the request's target
// header, which only that protocol has. Nothing listens on the port.
const cliSpeaksJSON = `AWS_MAX_ATTEMPTS=1 aws --debug --endpoint-url http://127.0.0.1:1 sqs list-queues 2>&1 | grep -q AmazonSQS.ListQueues || ` +
	`{ echo 'too old: it speaks the query protocol'; exit 1; }`

// run starts an SQS emulator and runs the client's script against it.
func run(t *testing.T, c client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), scriptTimeout)
	defer cancel()
	leaveOut := func(err error, out []byte) {
		t.Helper()
		message := fmt.Sprintf("the client of %s is missing or too old: %s (%v: %s)", c.script[1], c.install, err, lastLine(out))
		if whole {
			t.Fatal(message)
		}
		t.Skip(message)
	}
	if c.probe != nil {
		if out, err := command(ctx, c.probe).CombinedOutput(); err != nil {
			leaveOut(err, out)
		}
	}
	_, endpoint := localtest.SQS(t)
	cmd := command(ctx, c.script)
	cmd.Env = append(cmd.Env, "AWS_ENDPOINT_URL_SQS="+endpoint)
	out, err := cmd.CombinedOutput()
	if c.probe == nil && (errors.Is(err, exec.ErrNotFound) || cmd.ProcessState.ExitCode() == missing) {
		leaveOut(err, out)
	}
	if err != nil || strings.TrimSpace(string(out)) != "OK" {
		t.Errorf("%s: %v\n%s", strings.Join(c.script, " "), err, out)
	}
}

// command runs in this folder with dummy credentials and a dummy region. It removes whatever the
// user has configured for the real AWS, because a test must never reach it.
func command(ctx context.Context, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AWS_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env,
		"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1",
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull, "AWS_EC2_METADATA_DISABLED=true",
		"NO_PROXY=127.0.0.1,localhost", "no_proxy=127.0.0.1,localhost",
		"NODE_NO_WARNINGS=1", "PYTHONWARNINGS=ignore",
	)
	return cmd
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}
