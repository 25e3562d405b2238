//go:build aws

package integration

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/signed"
)

// rolloutPipeline is the name of the pipeline that the test deploys.
const rolloutPipeline = "rollout-test"

// goodHandler is what starts deliver, and bugs are what stands in its place in a version that must
// go back: by what has to see it.
const goodHandler = "lambda.Start(logger.Follow(handler))"

var bugs = []struct{ name, handler string }{
	{"the rollout function", `_ = handler
	lambda.Start(func(context.Context, map[string]any) (map[string]any, error) { return map[string]any{}, nil })`},
	// The trial's payload has no Records: only real messages meet the bug.
	{"the alarm", `lambda.Start(logger.Follow(crashing{handler}))
}

type crashing struct{ lambda.Handler }

func (c crashing) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if bytes.HasPrefix(bytes.TrimSpace(payload), []byte(` + "`{\"Records\"`" + `)) {
		panic("a planted bug")
	}
	return c.Handler.Invoke(ctx, payload)`},
}

// TestABrokenVersionGoesBack deploys a pipeline called rollout-test, and then twice a deliver function
// with a planted bug while events flow: the first must be refused by the rollout function, the second
// must go back by its alarm. The version before must be in use each time, and every event must be
// delivered. At the end it destroys everything. It costs some cents and takes about an hour. Run it
// with
//
//	SPILLWAY_AWS_TEST_REGION=eu-west-1 go test -tags aws -run TestABrokenVersionGoesBack -timeout 120m -v ./integration
//
// with the AWS credentials of an account, in a region that is bootstrapped for the CDK and has no
// pipeline called rollout-test. Run npm ci first, and commit what shall be deployed.
func TestABrokenVersionGoesBack(t *testing.T) {
	t.Parallel()
	region := os.Getenv("SPILLWAY_AWS_TEST_REGION")
	if region == "" {
		t.Skip("needs an AWS account: set SPILLWAY_AWS_TEST_REGION to a region that is bootstrapped for the CDK and has no " +
			"pipeline called " + rolloutPipeline + "; the test deploys it there and destroys it again")
	}
	names, err := topology.NewNames(rolloutPipeline)
	if err != nil {
		t.Fatal(err)
	}
	c := newCloud(t, region, names)
	settings := []string{"-c", "regions=" + region, "-c", "name=" + rolloutPipeline, "-c", "canary=false"}
	t.Cleanup(func() {
		cdk(t, settings, "destroy", c.stack, "--force")
		c.deleteQueues(t)
	})
	c.outputs = cdkDeploy(t, settings, c.stack)[c.stack]
	before := c.live(t)

	sent := c.keepSending(t)
	for _, bug := range bugs {
		sources := brokenSources(t, bug.handler)
		began := time.Now()
		if out, err := cdkIn(t, sources, settings, "deploy", c.stack, "--require-approval", "never"); err == nil {
			t.Fatalf("a version that %s must see was deployed:\n%s", bug.name, out)
		} else if !strings.Contains(out, "DeliverLive") {
			t.Fatalf("the deployment failed for another reason than the alias: %v\n%s", err, out)
		}
		t.Logf("%s: the deployment went back in %v, all in all", bug.name, time.Since(began).Round(time.Second))
		if after := c.live(t); after.FunctionVersion != before.FunctionVersion || len(after.RoutingConfig.AdditionalVersionWeights) > 0 {
			t.Errorf("%s: in use is %+v, want version %s alone", bug.name, after, before.FunctionVersion)
		}
	}
	want := float64(sent())
	c.await(t, "every event to be delivered", func(ctx context.Context) (string, bool) {
		delivered := c.sum(ctx, t, "deliver", "EventsDelivered")
		return fmt.Sprintf("%v of %v", delivered, want), delivered >= want // one that crashed half-way is sent twice
	})
	if reasons := c.reasons(t.Context(), t); len(reasons) > 0 {
		t.Errorf("dead letters: %v", reasons)
	}
}

// live is the alias of deliver.
func (c *cloud) live(t *testing.T) signed.Alias {
	t.Helper()
	a, err := signed.LiveAlias(t.Context(), c.config, c.names.DeliverFunction)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// keepSending sends a message a second, so that over a hundred invocations are in the five minutes,
// and returns a function that ends it and says how many there were.
func (c *cloud) keepSending(t *testing.T) (end func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int)
	go func() {
		n := 0
		for tick := time.Tick(time.Second); ; n++ {
			select {
			case <-ctx.Done():
				done <- n
				return
			case <-tick:
			}
			body := fmt.Sprintf(`{"writeKey":%q,"batch":[{"type":"track","userId":"u","event":"Test","messageId":"aws-rollout-%d-%d"}]}`,
				awsKey, c.began.Unix(), n)
			if _, err := c.sqs.SendMessage(context.WithoutCancel(ctx), &sqs.SendMessageInput{
				QueueUrl: aws.String(c.outputs[topology.OutputEventsQueueURL]), MessageBody: &body}); err != nil {
				t.Errorf("send: %v", err)
				n-- // nobody accepted it
			}
		}
	}()
	return func() int {
		cancel()
		return <-done
	}
}

// brokenSources is a copy of what is committed, with another start of deliver.
func brokenSources(t *testing.T, handler string) string {
	t.Helper()
	top, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	sources := t.TempDir()
	command := exec.Command("bash", "-c", `set -o pipefail; git archive HEAD | tar -x -C "$1" && ln -s "$PWD/node_modules" "$1"`, "bash",
		sources)
	command.Dir = top
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("copy the sources: %v\n%s", err, out)
	}
	file := filepath.Join(sources, "functions", "deliver", "main.go")
	text, err := os.ReadFile(file)
	if err != nil || strings.Count(string(text), goodHandler) != 1 {
		t.Fatalf("%s does not start deliver as this test expects: %v", file, err)
	}
	broken := strings.Replace(string(text), goodHandler, handler, 1)
	if strings.Contains(handler, "bytes.") {
		broken = strings.Replace(broken, "import (\n", "import (\n\t\"bytes\"\n", 1)
	}
	if err := os.WriteFile(file, []byte(broken), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := goIn(sources, "vet", "./functions/deliver"); err != nil {
		t.Fatalf("the planted bug does not compile: %v\n%s", err, out)
	}
	return sources
}

func goIn(folder string, args ...string) (string, error) {
	command := exec.Command("go", args...)
	command.Dir = folder
	out, err := command.CombinedOutput()
	return string(out), err
}

// cdkIn is cdk in another folder, which may fail. It returns what was printed.
func cdkIn(t *testing.T, folder string, settings []string, args ...string) (string, error) {
	t.Helper()
	command := exec.Command("npx", slices.Concat(cdkSettings(), settings, args)...)
	command.Dir = folder
	out, err := command.CombinedOutput()
	return string(out), err
}
