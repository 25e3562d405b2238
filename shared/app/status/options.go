package status

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spillwayhq/spillway/shared/emf"
	"github.com/spillwayhq/spillway/shared/env"
	"github.com/spillwayhq/spillway/shared/status"
)

// The environment variables of the function.
const (
	envName    = "SPILLWAY_NAME"           // the pipeline's; default: spillway
	envRegions = "SPILLWAY_STATUS_REGIONS" // the pipeline's regions, with commas between them
	envQueues  = "SPILLWAY_STATUS_QUEUES"  // the URLs of its events queues, in the same order
	// The parameter of SSM, in each of these regions, that has the URL of the ingest endpoint.
	// Default: the pipeline has none.
	envParameter = "SPILLWAY_STATUS_INGEST_URL_PARAMETER"
	// The buckets of the site as REGION=BUCKET, with commas between them, in the same order for the
	// functions of all status regions.
	envBuckets  = "SPILLWAY_STATUS_BUCKETS"
	envSite     = "SPILLWAY_STATUS_SITE" // a file, see status.ParseSite; default: the default site
	envLogLevel = "SPILLWAY_LOG_LEVEL"   // debug, info, warn, error; default: info
	envRegion   = "AWS_REGION"           // set by Lambda
)

// A Bucket is where the site is kept in one status region.
type Bucket struct{ Region, Name string }

// Options are what a deployment decides about the status site.
type Options struct {
	Name      string   // the pipeline's, a dimension of its metrics
	Regions   []string // of the pipeline
	QueueURLs []string // of the events queue in each of them
	// IngestURLParameter is the name of the parameter of SSM with the ingest endpoint's URL; empty:
	// there is no ingest endpoint.
	IngestURLParameter string
	Buckets            []Bucket
	SiteFile           string
	LogLevel           slog.Level
	Region             string // in which the function runs: that of its own bucket, and its name as a writer

	ignored env.Ignored
}

// LogValue shows the options.
func (o Options) LogValue() slog.Value {
	var buckets []string
	for _, b := range o.Buckets {
		buckets = append(buckets, b.Region+"="+b.Name)
	}
	return slog.GroupValue(slog.String("name", o.Name), slog.String("regions", strings.Join(o.Regions, ",")),
		slog.String("ingest_url_parameter", o.IngestURLParameter), slog.String("buckets", strings.Join(buckets, ",")),
		slog.String("site", o.SiteFile), slog.String("region", o.Region))
}

// readOptions reads the options from environ, which has the form of os.Environ. The error names
// every wrong variable.
func readOptions(environ []string) (Options, error) {
	var o Options
	var err error
	o.ignored, err = env.Read(environ, env.String(envName, &o.Name), list(envRegions, &o.Regions),
		env.QueueURLs(envQueues, &o.QueueURLs), env.String(envParameter, &o.IngestURLParameter),
		buckets(envBuckets, &o.Buckets), env.String(envSite, &o.SiteFile), env.LogLevel(envLogLevel, &o.LogLevel),
		env.String(envRegion, &o.Region))
	o.Name = cmp.Or(o.Name, emf.DefaultPipeline)
	if err == nil {
		err = o.validate()
	}
	return o, err
}

func (o *Options) validate() error {
	if len(o.QueueURLs) != len(o.Regions) {
		return fmt.Errorf("%s must have a queue for each region of %s: there are %d and %d", envQueues, envRegions,
			len(o.QueueURLs), len(o.Regions))
	}
	var regions []string
	for _, b := range o.Buckets {
		regions = append(regions, b.Region)
	}
	for name, all := range map[string][]string{envRegions: o.Regions, envBuckets: regions} {
		for i, region := range all {
			if slices.Contains(all[:i], region) {
				return fmt.Errorf("%s must name each region once, has %s twice", name, region)
			}
		}
	}
	if o.own() < 0 {
		return fmt.Errorf("%s must have a bucket of the function's own region, %s is %q", envBuckets, envRegion, o.Region)
	}
	return nil
}

// own is the index of the bucket of the function's own region, -1 if there is none.
func (o *Options) own() int {
	for i, b := range o.Buckets {
		if b.Region == o.Region {
			return i
		}
	}
	return -1
}

// list takes texts with commas between them, at least one.
func list(name string, into *[]string) env.Variable {
	return env.Variable{Name: name, Required: true, Set: func(value string) error {
		*into = nil
		for part := range strings.SplitSeq(value, ",") {
			if part = strings.TrimSpace(part); part == "" {
				return env.MustBe("regions with commas between them, like eu-west-1,us-east-1", value)
			}
			*into = append(*into, part)
		}
		return nil
	}}
}

// buckets takes what ParseBuckets does.
func buckets(name string, into *[]Bucket) env.Variable {
	return env.Variable{Name: name, Required: true, Set: func(value string) (err error) {
		*into, err = ParseBuckets(value)
		return err
	}}
}

// ParseBuckets reads REGION=BUCKET with commas between them, at least one, as a deployment gives
// the function the site's buckets.
func ParseBuckets(value string) (all []Bucket, err error) {
	for part := range strings.SplitSeq(value, ",") {
		region, bucket, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok || region == "" || bucket == "" {
			return nil, env.MustBe("the buckets of the status regions, like "+
				"eu-central-1=shop-status-123456789012-eu-central-1", value)
		}
		all = append(all, Bucket{region, bucket})
	}
	return all, nil
}

// readSite reads the file with the site's title, logo and components; nil: there is none. With a
// status.ErrUnknownField there is one.
func readSite(file string) (*status.Site, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	var site status.Site
	if err == nil {
		site, err = status.ParseSite(data)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", envSite, err)
		if !errors.Is(err, status.ErrUnknownField) {
			return nil, err
		}
	}
	return &site, err
}
