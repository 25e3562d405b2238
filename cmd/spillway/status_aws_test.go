package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/spf13/pflag"

	"github.com/spillwayhq/spillway/cmd/spillway/statussite"
	"github.com/spillwayhq/spillway/integration/testutil/s3test"
	"github.com/spillwayhq/spillway/shared/status"
	"github.com/spillwayhq/spillway/shared/status/s3store"
)

// statusAccount makes the AWS tools use an account whose status site has a bucket in each of two
// regions, with this answer for the status function. It returns the buckets' stores.
func statusAccount(t *testing.T, function string) (buckets *s3test.Server, first, second status.Store) {
	t.Helper()
	withoutAWS(t)
	buckets = s3test.New()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/2015-03-31/functions/") {
			buckets.ServeHTTP(w, r)
			return
		}
		if !strings.Contains(r.URL.Path, "/spillway-status/") || function == "" {
			w.Header().Set("X-Amzn-Errortype", "ResourceNotFoundException")
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = io.WriteString(w, function)
	}))
	t.Cleanup(server.Close)
	for name, value := range map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "us-east-1",
		"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"} {
		t.Setenv(name, value)
	}
	c := aws.Config{BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")}
	return buckets, s3store.Open(c, "eu-central-1", "first", status.SiteFolder),
		s3store.Open(c, "eu-west-3", "second", status.SiteFolder)
}

const twoBuckets = `{"State":"Active","Environment":{"Variables":{"SPILLWAY_STATUS_BUCKETS":"eu-central-1=first,eu-west-3=second"}}}`

func TestAnOperatorWritesToTheSiteOfADeployedPipeline(t *testing.T) {
	buckets, first, second := statusAccount(t, twoBuckets)
	site := &status.Site{Title: "Shop events"}
	for _, store := range []status.Store{first, second} {
		if _, err := (&status.Keeper{Store: store, Site: site}).Observe(t.Context(), status.Observation{
			Writer: "w", Regions: []status.Region{{Name: "us-east-1", Ingest: status.Up, Delivery: status.Up}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	k := &status.Keeper{Store: second, Site: site}
	if _, err := k.Edit(t.Context(), func(d *status.Document, now time.Time) error {
		_, err := d.Post(status.Message{Title: "From the other region", Text: "Here."}, now)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	out, _, err := spillway(t.Context(), "It is late.\r\n", "status", "post", "--name=spillway", "--region=eu-central-1",
		"--yes",
		"--title=Late", "--text=-")
	if err != nil || !strings.Contains(out, ": Late (investigating, impact minor)") {
		t.Fatalf("%v: %s", err, out)
	}
	page := string(buckets.Objects("first")["site/index.html"].Data)
	for _, want := range []string{"<h1>Shop events</h1>", "Late", "It is late.", "From the other region"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page of the first bucket has no %q", want)
		}
	}
	if h := buckets.Objects("first")["site/index.html"].Header; h.Get("Cache-Control") != "public, max-age=30" {
		t.Errorf("it is written with %v", h)
	}
	if out, _, err = spillway(t.Context(), "", "status", "show", "--name=spillway", "--region=eu-central-1"); err != nil ||
		!strings.Contains(out, "Late") || !strings.Contains(out, "From the other region") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestASiteThatIsNotInThisRegionSaysWhereToLook(t *testing.T) {
	statusAccount(t, twoBuckets)
	_, _, err := spillway(t.Context(), "", "status", "show", "--name=spillway")
	if err == nil || !strings.Contains(err.Error(),
		"the status site's buckets are in eu-central-1 and eu-west-3, not in us-east-1: "+
			"name one of these with --region") {
		t.Errorf("another region: %v", err)
	}
	statusAccount(t, "")
	_, _, err = spillway(t.Context(), "", "status", "show", "--name=spillway")
	if err == nil || !strings.Contains(err.Error(), "spillway-status in us-east-1") ||
		!strings.Contains(err.Error(), "--region") {
		t.Errorf("no function: %v", err)
	}
}

func TestABucketThatRefusesSaysSo(t *testing.T) {
	buckets, first, _ := statusAccount(t, twoBuckets)
	if _, err := (&status.Keeper{Store: first}).Observe(t.Context(), status.Observation{Writer: "w"}); err != nil {
		t.Fatal(err)
	}
	buckets.Fail(s3test.Status(http.StatusForbidden, "AccessDenied", http.MethodPut, "status.json"))
	out, _, err := spillway(t.Context(), "", "status", "post", "--name=spillway", "--region=eu-central-1", "--yes",
		"--title=x",
		"--text=y")
	if out != "" || err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("%v: %q", err, out)
	}
	buckets.Fail(s3test.Status(http.StatusForbidden, "AccessDenied", http.MethodPut, "feed.atom"))
	out, _, err = spillway(t.Context(), "", "status", "post", "--name=spillway", "--region=eu-central-1", "--yes",
		"--title=x",
		"--text=y")
	if !strings.HasPrefix(out, "posted ") || err == nil ||
		!strings.Contains(err.Error(), "it is written, but not all pages show it yet") {
		t.Errorf("%v: %q", err, out)
	}
}

func TestNothingIsPublishedWithoutAYes(t *testing.T) {
	for answer, want := range map[string]bool{"yes\n": true, "y\n": false, "\n": false, "": false} {
		m := statusMessage{Flags: new(statussite.Flags), title: "Late\x1b[2J", text: "Soon."}
		set := pflag.NewFlagSet("test", pflag.ContinueOnError)
		m.Register(set)
		if err := set.Parse([]string{"--name=spillway"}); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		got, err := m.confirm(strings.NewReader(answer), &out, "Post this")
		if err != nil || got != want ||
			!strings.Contains(out.String(), "Soon.\n\nPost this for customers to read? Type yes to confirm: ") ||
			strings.Contains(out.String(), "\x1b") || !want && !strings.HasSuffix(out.String(), "Nothing was published.\n") {
			t.Errorf("%q: %v, %v, it printed %q", answer, got, err, out.String())
		}
	}
}
