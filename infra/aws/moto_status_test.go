package main

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/spillwayhq/spillway/infra/functions"
	"github.com/spillwayhq/spillway/infra/local/lambda"
	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil"
	"github.com/spillwayhq/spillway/integration/testutil/mototest"
	"github.com/spillwayhq/spillway/shared/status"
	"github.com/spillwayhq/spillway/shared/status/s3store"
)

// siteIn is the site's store in a status region.
func (c *cloud) siteIn(region string) *s3store.Store {
	return s3store.Open(c.config, region, topology.DefaultNames().StatusBucket(mototest.Account, region),
		status.SiteFolder)
}

// The first status region's bucket is made by hand, because moto can't make its distribution.
func TestTheStackOfAStatusRegionIsDeployedAndItsFunctionWritesTheSite(t *testing.T) {
	c := newCloud(t)
	s := settings.Default(topology.DefaultNames(), "eu-west-1")
	s.Architecture = ownArchitecture()
	s.StatusRegions = []string{"eu-central-1", "eu-west-3"}
	c.bootstrap(t, "eu-west-1")
	c.bootstrap(t, "eu-west-3")
	c.put(t, "/"+s.Topology().Names.StatusBucket(mototest.Account, "eu-central-1"), nil)

	first := c.deploy(t, &s)
	deployed := c.read(t, "eu-west-3", stacksOf(&s)["eu-west-3"])
	compare(t, first.templates["eu-west-3"], deployed)
	compare(t, first.templates["eu-west-1"], c.read(t, "eu-west-1", stacksOf(&s)["eu-west-1"]))
	if again := c.deploy(t, &s); again.changed["eu-west-3"] || again.changed["eu-west-1"] {
		t.Errorf("a second deployment changed %v", again.changed)
	}

	c.forgetPolicy(t, "eu-west-3")
	c.writeSite(t, first.templates["eu-west-3"], deployed)
	for _, region := range s.StatusRegions {
		data, _, err := c.siteIn(region).Read(t.Context(), status.DocumentFile)
		if err != nil {
			t.Fatal(err)
		}
		d, err := status.Parse(data)
		if err != nil || len(d.Components) != 2 {
			t.Errorf("%s: the document has the components %+v, %v", region, d.Components, err)
		}
		if page, _, err := c.siteIn(region).Read(t.Context(), "index.html"); err != nil ||
			!strings.Contains(string(page), "<html") {
			t.Errorf("%s: the page is %.80q, %v", region, page, err)
		}
	}

	got := c.doctor(t, s.Name)
	for check, want := range map[string]string{
		"function spillway-status in eu-west-3": "ok: active", "status site in eu-west-3": "ok: it was written ",
		"subscriptions spillway-tickets in eu-west-3": "warning: nobody is told",
		"function spillway-status in eu-central-1":    "failed: does not exist",
		"status site in eu-central-1":                 "ok: it was written ",
		"status page": "failed: none of the stacks spillway-eu-central-1-status, spillway-eu-west-3-status says " +
			"where it is",
	} {
		if !strings.HasPrefix(got[check], want) {
			t.Errorf("doctor finds of %s: %q, want %q", check, got[check], want)
		}
	}

	c.destroy(t, "eu-west-3", &s)
	if _, _, err := c.siteIn("eu-west-3").Read(t.Context(), "index.html"); err != nil {
		t.Errorf("the site did not survive its stack: %v", err)
	}
}

// forgetPolicy removes the policy of a status region's bucket: moto applies what it denies without
// TLS to whoever comes, and itself has no TLS.
func (c *cloud) forgetPolicy(t *testing.T, region string) {
	t.Helper()
	c.request(t, http.MethodDelete, "/"+topology.DefaultNames().StatusBucket(mototest.Account, region)+"?policy", nil,
		http.StatusNoContent)
}

// writeSite runs the status function as it is deployed, with what the template gives it, once.
func (c *cloud) writeSite(t *testing.T, tmpl template, deployed map[string]physical) {
	t.Helper()
	needsLinux(t)
	site := topology.NewStatusSite(topology.DefaultOptions())
	f := tmpl.named(t, "AWS::Lambda::Function", "FunctionName", site.Names.StatusFunction)
	code, err := functions.Build(site.Functions, nil, module, t.TempDir(), ownArchitecture())
	if err != nil {
		t.Fatal(err)
	}
	environment := []string{"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_REGION=eu-west-3",
		"AWS_ENDPOINT_URL=" + c.url, "NO_PROXY=*"}
	variables, _ := f.at("Environment", "Variables").(map[string]any)
	for name, value := range variables {
		text, _ := resolved(value, deployed).(string)
		environment = append(environment, name+"="+text)
	}
	var log testutil.Buffer
	made := lambda.NewFunction(lambda.FunctionConfig{
		Name: site.Names.StatusFunction, Timeout: time.Duration(number(t, f.at("Timeout"))) * time.Second,
		MemoryMB: int(number(t, f.at("MemorySize"))), NewEnvironment: lambda.Process(lambda.ProcessConfig{
			Path: unpack(t, code[site.Names.StatusFunction]), Env: environment, Output: &log}),
	})
	t.Cleanup(made.Close)
	if _, err := made.Invoke(context.WithoutCancel(t.Context()), []byte(`{}`)); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	made.Close()
	for _, m := range site.Alarms[0].Metrics {
		if m.Own != "" && !strings.Contains(log.String(), `"`+m.Name+`":1`) {
			t.Errorf("the function did not write every bucket, or not the metric %s of its alarm:\n%s", m.Name, log.String())
		}
	}
}
