package status

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/lambda"
)

var _ lambda.Handler = (*Function)(nil)

// environ are the variables that the CDK app sets in the first of two status regions.
func environ(more ...string) []string {
	return append([]string{
		"AWS_REGION=eu-central-1", "SPILLWAY_NAME=shop", "SPILLWAY_STATUS_REGIONS=eu-west-1,us-east-1",
		"SPILLWAY_STATUS_QUEUES=https://sqs.eu-west-1.amazonaws.com/123456789012/shop-events," +
			"https://sqs.us-east-1.amazonaws.com/123456789012/shop-events",
		"SPILLWAY_STATUS_INGEST_URL_PARAMETER=/shop/ingest-url",
		"SPILLWAY_STATUS_BUCKETS=eu-west-3=shop-status-1-eu-west-3,eu-central-1=shop-status-1-eu-central-1",
	}, more...)
}

func TestTheFunctionIsWiredByItsEnvironment(t *testing.T) {
	var log strings.Builder
	f, err := FromEnvironment(t.Context(), environ(), &log)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(f.options.Regions, []string{"eu-west-1", "us-east-1"}) || len(f.parts.Regions) != 2 ||
		f.parts.Regions[1].Source.(*deployed).queueURL != "https://sqs.us-east-1.amazonaws.com/123456789012/shop-events" ||
		f.parts.Regions[0].NoIngest {
		t.Errorf("the regions are %+v", f.parts.Regions)
	}
	if len(f.others) != 1 || f.others["shop-status-1-eu-west-3"] == nil || len(f.own.Peers) != 1 {
		t.Errorf("the other buckets are %v, of which %d are merged in", f.others, len(f.own.Peers))
	}
	if text := log.String(); !strings.Contains(text, `"msg":"configured","version":"`) ||
		!strings.Contains(text, `"buckets":"eu-west-3=shop-status-1-eu-west-3,eu-central-1=shop-status-1-eu-central-1"`) {
		t.Errorf("the log says:\n%s", text)
	}
}

func TestWithoutAParameterThereIsNoIngestEndpoint(t *testing.T) {
	f, err := FromEnvironment(t.Context(), environ("SPILLWAY_STATUS_INGEST_URL_PARAMETER="), io.Discard)
	if err != nil || !f.parts.Regions[0].NoIngest {
		t.Errorf("%v", err)
	}
}

func TestAWrongVariableIsNamedWithWhatItMustBe(t *testing.T) {
	for variable, want := range map[string]string{
		"SPILLWAY_STATUS_REGIONS=": "SPILLWAY_STATUS_REGIONS must be regions with commas between them",
		"SPILLWAY_STATUS_REGIONS=eu-west-1": "SPILLWAY_STATUS_QUEUES must have a queue for each region of " +
			"SPILLWAY_STATUS_REGIONS: there are 2 and 1",
		"SPILLWAY_STATUS_BUCKETS=":       "SPILLWAY_STATUS_BUCKETS must be the buckets of the status regions, like",
		"SPILLWAY_STATUS_BUCKETS=bucket": "SPILLWAY_STATUS_BUCKETS must be the buckets of the status regions, like",
		"AWS_REGION=us-west-2": `SPILLWAY_STATUS_BUCKETS must have a bucket of the function's own region, AWS_REGION is ` +
			`"us-west-2"`,
		"SPILLWAY_STATUS_REGIONS=eu-west-1,eu-west-1":           "SPILLWAY_STATUS_REGIONS must name each region once, has eu-west-1",
		"SPILLWAY_STATUS_BUCKETS=eu-central-1=a,eu-central-1=b": "SPILLWAY_STATUS_BUCKETS must name each region once",
		"SPILLWAY_LOG_LEVEL=loud":                               "must be debug, info, warn or error",
		"SPILLWAY_STATUS_QUEUES=https://sqs.test/1/shop-events": "there are 1 and 2",
	} {
		if _, err := FromEnvironment(t.Context(), environ(variable), io.Discard); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", variable, err, want)
		}
	}
	if _, err := FromEnvironment(t.Context(), nil, io.Discard); err == nil ||
		!strings.Contains(err.Error(), "SPILLWAY_STATUS_BUCKETS") ||
		!strings.Contains(err.Error(), "SPILLWAY_STATUS_REGIONS") {
		t.Errorf("without variables: %v", err)
	}
}

func TestTheSitesFileIsReadAndABrokenOneCostsOnlyWhatItSays(t *testing.T) {
	for content, want := range map[string]string{`{"title":"Shop events"}`: "Shop events", `{"title":"Shop","newer":"x"}`: "Shop",
		`{"titel":1,"title":1}`: "", "": ""} {
		file := filepath.Join(t.TempDir(), "status-site.json")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		f, err := FromEnvironment(t.Context(), environ("SPILLWAY_STATUS_SITE="+file), &log)
		if err != nil {
			t.Fatal(err)
		}
		if want != "" && (f.own.Site == nil || f.own.Site.Title != want) || want == "" && f.own.Site != nil {
			t.Errorf("%s: %+v", content, f.own.Site)
		}
		if complains := strings.Contains(log.String(), `"level":"ERROR"`); complains != (want == "") {
			t.Errorf("%s: the log says\n%s", content, log.String())
		}
	}
	f, err := FromEnvironment(t.Context(), environ("SPILLWAY_STATUS_SITE=/nowhere.json"), io.Discard)
	if err != nil || f.own.Site != nil {
		t.Errorf("without the file: %v", err)
	}
}

// A roll-back runs an older version in the environment of a newer one.
func TestAnUnknownVariableIsIgnoredWithAWarning(t *testing.T) {
	var log strings.Builder
	if _, err := FromEnvironment(t.Context(), environ("SPILLWAY_NEWER=secret"), &log); err != nil {
		t.Fatal(err)
	}
	if text := log.String(); !strings.Contains(text, `"level":"WARN","msg":"variables that this version does not know are ignored",`+
		`"count":1,"variables":"SPILLWAY_NEWER","known":"SPILLWAY_NAME, `) || strings.Contains(text, "secret") {
		t.Errorf("the log says:\n%s", text)
	}
}
