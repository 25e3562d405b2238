//go:build aws

package integration

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	cwtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/ssm"
)

// domainPipeline is the name of the pipeline that the test deploys.
const domainPipeline = "domain-test"

// Where the metrics of Route 53 are, whatever the region (Route 53 developer guide, "Monitoring
// health checks using CloudWatch").
const route53Region = "us-east-1"

// canaries are at most in five minutes, whose first and last may be parts of one.
const canaries = 6

// TestDomainDeployed deploys a pipeline called domain-test into two regions behind one name, drains
// the first, and checks that Route 53 leaves it while the name answers all the time. At the end it
// destroys everything; the record that validates the certificates stays in the zone. It costs less
// than a dollar and takes about an hour. Run it with
//
//	SPILLWAY_AWS_TEST_REGIONS=eu-west-1,eu-central-1 SPILLWAY_AWS_TEST_ZONE=example.com \
//	  SPILLWAY_AWS_TEST_DOMAIN=spillway-test.example.com go test -tags aws -run TestDomainDeployed -timeout 150m -v ./integration
//
// with the AWS credentials of the account that has the zone, in regions that are bootstrapped for
// the CDK and have no pipeline called domain-test. Run npm ci first.
func TestDomainDeployed(t *testing.T) {
	t.Parallel()
	regions, zone := os.Getenv("SPILLWAY_AWS_TEST_REGIONS"), os.Getenv("SPILLWAY_AWS_TEST_ZONE")
	domain := os.Getenv("SPILLWAY_AWS_TEST_DOMAIN")
	if regions == "" || zone == "" || domain == "" {
		t.Skip("needs an AWS account with a zone of Route 53: set SPILLWAY_AWS_TEST_REGIONS to two regions, " +
			"SPILLWAY_AWS_TEST_ZONE to the zone's name and SPILLWAY_AWS_TEST_DOMAIN to a name in it that has no record")
	}
	all := deployDomain(t, strings.Split(regions, ","), domain, zone)

	for _, c := range all {
		if c.outputs[topology.OutputIngestURL] != "https://"+domain {
			t.Errorf("%s: SDKs are told %s", c.region, c.outputs[topology.OutputIngestURL])
		}
		c.await(t, c.region+" to answer under the name", c.answers)
		c.await(t, "Route 53 to find "+c.region+" healthy", c.healthyIs(t, 1))
	}
	posts := all[0].keepPosting(t)
	near, far := all[0], all[1] // from where the test runs, as Route 53 sees it
	near.await(t, "the traffic to arrive", func(ctx context.Context) (string, bool) {
		here, there := near.accepted(ctx, t), far.accepted(ctx, t)
		if here < there {
			near, far = far, near
		}
		return fmt.Sprintf("%v and %v events in 5 minutes", here, there), max(here, there) > 50
	})

	near.regionVerb(t, "drain", near.region, "--reason", "TestDomainDeployed")
	drained := time.Now()
	t.Cleanup(func() { // unless it is restored below
		_ = ssm.New(near.config).DeleteParameter(context.Background(), near.names.Parameter(topology.DrainedParameter))
	})
	near.await(t, "Route 53 to leave "+near.region, near.healthyIs(t, 0))
	t.Logf("Route 53 left %s within %v of the drain; a DNS record lives for another minute", near.region,
		time.Since(drained).Round(time.Second))
	near.await(t, "its traffic to move to "+far.region, func(ctx context.Context) (string, bool) {
		here, there := near.accepted(ctx, t), far.accepted(ctx, t)
		return fmt.Sprintf("%v and %v events in 5 minutes", here, there), here <= canaries && there > 50
	})
	near.regionVerb(t, "restore", near.region)
	near.await(t, "Route 53 to come back to "+near.region, near.healthyIs(t, 1))
	if sent, failed := posts(); failed != nil || sent < 100 {
		t.Errorf("of %d posts to the name the first that failed: %v", sent, failed)
	}
}

// deployDomain deploys the pipeline to two regions that have none, and destroys it at the end of the
// test.
func deployDomain(t *testing.T, regions []string, domain, zone string) (all []*cloud) {
	t.Helper()
	if len(regions) != 2 {
		t.Fatalf("SPILLWAY_AWS_TEST_REGIONS must be two regions, are %d", len(regions))
	}
	names, err := topology.NewNames(domainPipeline)
	if err != nil {
		t.Fatal(err)
	}
	for _, region := range regions {
		all = append(all, newCloud(t, region, names))
	}
	settings := []string{"-c", "name=" + domainPipeline, "-c", "regions=" + strings.Join(regions, ","),
		"-c", "domain=" + domain, "-c", "hostedZone=" + zone}
	t.Cleanup(func() {
		cdk(t, settings, "destroy", "--all", "--force")
		for _, c := range all {
			c.deleteQueues(t)
		}
	})
	outputs := cdkDeploy(t, settings, "--all")
	for _, c := range all {
		c.outputs = outputs[c.stack]
	}
	return all
}

// regionVerb runs a verb of `spillway region` as a person would, and logs what regions are then listed.
func (c *cloud) regionVerb(t *testing.T, args ...string) {
	t.Helper()
	for _, args := range [][]string{args, {"ls"}} {
		command := exec.Command("go", slices.Concat([]string{"run", "./cmd/spillway", "region"}, args,
			[]string{"--name", domainPipeline})...)
		command.Dir, command.Env = "..", append(os.Environ(), "AWS_REGION="+c.region)
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("spillway region %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		t.Logf("spillway region %s\n%s", strings.Join(args, " "), out)
	}
}

// answers reports whether the region's own host answers under the shared name, with its certificate.
func (c *cloud) answers(ctx context.Context) (string, bool) {
	transport, err := canary.Dialing(c.outputs[topology.OutputIngestTarget])
	if err != nil {
		return err.Error(), false
	}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.outputs[topology.OutputIngestURL]+"/health", nil)
	if err != nil {
		return err.Error(), false
	}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return err.Error(), false
	}
	answer.Body.Close()
	return answer.Status, answer.StatusCode == http.StatusOK
}

// healthyIs reports whether the newest value of the region's health check is want.
func (c *cloud) healthyIs(t *testing.T, want float64) func(context.Context) (string, bool) {
	t.Helper()
	there, err := config.LoadDefaultConfig(t.Context(), config.WithRegion(route53Region))
	if err != nil {
		t.Fatal(err)
	}
	watch := cloudwatch.NewFromConfig(there)
	return func(ctx context.Context) (string, bool) {
		out, err := watch.GetMetricStatistics(ctx, &cloudwatch.GetMetricStatisticsInput{
			Namespace: aws.String("AWS/Route53"), MetricName: aws.String("HealthCheckStatus"),
			Dimensions: []cwtypes.Dimension{{Name: aws.String("HealthCheckId"),
				Value: aws.String(c.outputs[topology.OutputHealthCheck])}},
			StartTime: aws.Time(time.Now().Add(-10 * time.Minute)), EndTime: aws.Time(time.Now().Add(time.Minute)),
			Period: aws.Int32(60), Statistics: []cwtypes.Statistic{cwtypes.StatisticMinimum},
		})
		if err != nil || len(out.Datapoints) == 0 {
			return fmt.Sprintf("no value: %v", err), false
		}
		newest := out.Datapoints[0]
		for _, p := range out.Datapoints {
			if p.Timestamp.After(*newest.Timestamp) {
				newest = p
			}
		}
		return fmt.Sprint(aws.ToFloat64(newest.Minimum)), aws.ToFloat64(newest.Minimum) == want
	}
}

// accepted is how many events the region accepted in the last five minutes for which there are
// metrics.
func (c *cloud) accepted(ctx context.Context, t *testing.T) float64 {
	t.Helper()
	c.began = time.Now().Add(-5 * time.Minute)
	return c.sum(ctx, t, "ingest", "EventsAccepted")
}

// keepPosting posts an event to the name every two seconds, each over a connection of its own, until
// it is asked how many were sent, and why the first failed that did.
func (c *cloud) keepPosting(t *testing.T) (stop func() (sent int, failed error)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	var sent int
	var failed error
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			body := fmt.Sprintf(`{"batch":[{"type":"track","userId":"u","event":"Test","messageId":"aws-name-%d-%d"}]}`,
				time.Now().Unix(), sent)
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.outputs[topology.OutputIngestURL]+"/v1/batch",
				strings.NewReader(body))
			if err == nil {
				r.SetBasicAuth(awsKey, "")
				var answer *http.Response
				if answer, err = client.Do(r); err == nil {
					answer.Body.Close()
					if answer.StatusCode != http.StatusOK {
						err = fmt.Errorf("post %d: %s", sent, answer.Status)
					}
				}
			}
			if err != nil && ctx.Err() == nil && failed == nil {
				failed = err
			}
			sent++
			select {
			case <-ctx.Done():
			case <-time.After(2 * time.Second):
			}
		}
	}()
	return func() (int, error) {
		cancel()
		<-done
		return sent, failed
	}
}
