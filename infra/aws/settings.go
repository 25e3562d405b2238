package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/segment"
)

// The doors.
const (
	doorHTTPAPI     = "http-api"
	doorFunctionURL = "function-url"
)

// none switches off what otherwise has a default.
const none = "none"

// Settings are what a deployment may choose. Context values give them (-c key=value), or a file of
// JSON (-c settings=FILE).
type Settings struct {
	Name                string   // prefix of every physical name; several pipelines may share an account and region
	Regions             []string // in the publishers' order of preference
	ReservedConcurrency int      // of deliver; 0: none reserved
	MaximumConcurrency  int      // 0: as the topology says
	BatchSize           int
	WindowSeconds       int
	LogRetentionDays    int
	LogLevel            string
	Architecture        string // of the functions: arm64 or x86_64

	Door              string
	RequestsPerSecond int
	PublicURL         string // that SDKs are to use; empty: that of the request

	SegmentEndpoint   string
	EndpointParameter string // SSM parameter with the endpoint, which then counts instead; empty: none
	// SSM parameter with the write key of messages that carry none; empty: there is none, and they
	// wait
	WriteKeyParameter  string
	WriteKeysParameter string // SSM parameter with the set of write keys that the door takes; empty: it takes any

	Canary bool
	// of a Segment source that is there for it; empty: nobody's, and the canary ends before Segment
	CanaryWriteKey string
	Emails         []string // that get the alarms
	KMSKeys        []string // ARNs, one for each region; empty: SQS's own keys
	AdoptQueues    bool     // take up the queues that an earlier stack left, instead of making them
}

// DefaultSettings are those of a deployment that chooses nothing but its names, in that region.
func DefaultSettings(names topology.Names, region string) Settings {
	o := topology.DefaultOptions()
	door := topology.Default().IngestEndpoint
	return Settings{
		Name: names.Pipeline, Regions: []string{region}, ReservedConcurrency: o.ReservedConcurrency, BatchSize: o.BatchSize,
		WindowSeconds: int(o.BatchingWindow / time.Second), LogRetentionDays: int(o.LogRetention / (24 * time.Hour)),
		LogLevel:     "info",
		Architecture: "arm64", Door: doorHTTPAPI, RequestsPerSecond: int(door.RequestsPerSecond),
		SegmentEndpoint:   segment.EndpointUS,
		WriteKeyParameter: names.Parameter("write-key"), WriteKeysParameter: names.Parameter("write-keys"), Canary: true,
	}
}

// A setting is one of them by its name: how it is read and shown.
type setting struct {
	name string
	help string // what to write
	read func(*Settings, string) error
	show func(*Settings) string
}

// settings are all there are, in the order in which they are shown.
var settings = [...]setting{
	{
		"name", "a name like spillway or staging",
		func(s *Settings, text string) error {
			names, err := topology.NewNames(text)
			if err == nil {
				s.Name = names.Pipeline
			}
			return err
		},
		func(s *Settings) string { return s.Name },
	},
	listOf("regions", "AWS regions, like us-east-1,eu-west-1", func(s *Settings) *[]string { return &s.Regions }),
	{
		"reservedConcurrency", "a number from 2, or none",
		func(s *Settings, text string) error {
			if text == none {
				s.ReservedConcurrency = 0
				return nil
			}
			n, err := strconv.Atoi(text)
			switch {
			case err != nil:
				return err
			case n < 2:
				return errors.New("an event source needs at least 2")
			}
			s.ReservedConcurrency = n
			return nil
		},
		func(s *Settings) string {
			if s.ReservedConcurrency == 0 {
				return none
			}
			return strconv.Itoa(s.ReservedConcurrency)
		},
	},
	{
		"maximumConcurrency", "2 to 1000, at most the reserved concurrency",
		numberOf("", "", func(s *Settings) *int { return &s.MaximumConcurrency }).read,
		func(s *Settings) string { return strconv.Itoa(s.Topology().EventSources[0].MaximumConcurrency) },
	},
	numberOf("batchSize", "1 to 10000 messages", func(s *Settings) *int { return &s.BatchSize }),
	numberOf("windowSeconds", "0 to 300 seconds", func(s *Settings) *int { return &s.WindowSeconds }),
	numberOf("logRetentionDays", "1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180 or 365 days",
		func(s *Settings) *int { return &s.LogRetentionDays }),
	choiceOf("logLevel", func(s *Settings) *string { return &s.LogLevel }, "debug", "info", "warn", "error"),
	choiceOf("architecture", func(s *Settings) *string { return &s.Architecture }, "arm64", "x86_64"),
	choiceOf("door", func(s *Settings) *string { return &s.Door }, doorHTTPAPI, doorFunctionURL),
	numberOf("requestsPerSecond", "1 to 10000 requests that the HTTP API lets through",
		func(s *Settings) *int { return &s.RequestsPerSecond }),
	textOf("publicURL", "scheme and host, like https://events.example.com", isHTTPS,
		func(s *Settings) *string { return &s.PublicURL }),
	{
		"segmentEndpoint", "us, eu or a URL",
		func(s *Settings, text string) error {
			switch text {
			case "us":
				text = segment.EndpointUS
			case "eu":
				text = segment.EndpointEU
			}
			s.SegmentEndpoint = text
			_, err := segment.NewClient(segment.Config{Endpoint: text})
			return err
		},
		func(s *Settings) string { return s.SegmentEndpoint },
	},
	textOf("segmentEndpointParameter", "the name of an SSM parameter like /spillway/segment-endpoint, or none",
		isParameter, func(s *Settings) *string { return &s.EndpointParameter }),
	textOf("writeKeyParameter", "the name of an SSM parameter like /spillway/write-key, or none", isParameter,
		func(s *Settings) *string { return &s.WriteKeyParameter }),
	textOf("writeKeysParameter", "the name of an SSM parameter like /spillway/write-keys, or none", isParameter,
		func(s *Settings) *string { return &s.WriteKeysParameter }),
	switchOf("canary", func(s *Settings) *bool { return &s.Canary }),
	textOf("canaryWriteKey", "the write key of a Segment source that is there for it, or none", isWriteKey,
		func(s *Settings) *string { return &s.CanaryWriteKey }),
	listOf("emails", "e-mail addresses, like ops@example.com", func(s *Settings) *[]string { return &s.Emails }),
	listOf("kmsKeys", "the ARN of a KMS key for each region", func(s *Settings) *[]string { return &s.KMSKeys }),
	switchOf("adoptQueues", func(s *Settings) *bool { return &s.AdoptQueues }),
}

func textOf(name, help string, valid func(string) error, field func(*Settings) *string) setting {
	return setting{name, help, func(s *Settings, text string) error {
		if text == none {
			text = ""
		}
		*field(s) = text
		if text == "" {
			return nil
		}
		return valid(text)
	}, func(s *Settings) string {
		if *field(s) == "" {
			return none
		}
		return *field(s)
	}}
}

func listOf(name, help string, field func(*Settings) *[]string) setting {
	return setting{name, help, func(s *Settings, text string) error {
		*field(s) = nil
		for part := range strings.SplitSeq(text, ",") {
			if part = strings.TrimSpace(part); part != "" && part != none {
				*field(s) = append(*field(s), part)
			}
		}
		return nil
	}, func(s *Settings) string {
		if len(*field(s)) == 0 {
			return none
		}
		return strings.Join(*field(s), ",")
	}}
}

func numberOf(name, help string, field func(*Settings) *int) setting {
	return setting{name, help, func(s *Settings, text string) error {
		n, err := strconv.Atoi(text)
		if err == nil { // a value that can't be read is one mistake, not two
			*field(s) = n
		}
		return err
	}, func(s *Settings) string { return strconv.Itoa(*field(s)) }}
}

func choiceOf(name string, field func(*Settings) *string, choices ...string) setting {
	return setting{name, strings.Join(choices, " or "), func(s *Settings, text string) error {
		*field(s) = text
		if !slices.Contains(choices, text) {
			return errors.New("there is no such choice")
		}
		return nil
	}, func(s *Settings) string { return *field(s) }}
}

func switchOf(name string, field func(*Settings) *bool) setting {
	return setting{name, "true or false", func(s *Settings, text string) (err error) {
		*field(s), err = strconv.ParseBool(text)
		return err
	}, func(s *Settings) string { return strconv.FormatBool(*field(s)) }}
}

var parameterName = regexp.MustCompile(`^/?[a-zA-Z0-9_.-]+(/[a-zA-Z0-9_.-]+)*$`)

func isParameter(name string) error {
	if !parameterName.MatchString(name) {
		return errors.New("it is no name of a parameter")
	}
	return nil
}

func isWriteKey(key string) error {
	_, err := canary.New(canary.Config{URL: "https://events.example.com", WriteKey: key})
	return err
}

func isHTTPS(text string) error {
	if u, err := url.Parse(text); err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return errors.New("it is no such URL")
	}
	return nil
}

// ReadSettings reads the context of a CDK app over the defaults of a deployment to region. Keys
// with a colon, a slash or an @ are CDK's own, and so are those of known. The error names every
// value that is wrong, a line each, and says what to write.
func ReadSettings(region string, context map[string]any, known []string,
	readFile func(string) ([]byte, error)) (Settings, error) {
	defaults := DefaultSettings(topology.DefaultNames(), region)
	values := map[string]any{}
	if file, ok := context["settings"]; ok {
		content, err := readFile(fmt.Sprint(file))
		if err != nil {
			return defaults, fmt.Errorf("settings=%v: %w: write the name of a JSON file", file, err)
		}
		if err := json.Unmarshal(content, &values); err != nil {
			return defaults, fmt.Errorf("settings=%v: %w: write a JSON object like {\"reservedConcurrency\": 20}", file, err)
		}
	}
	for key, value := range context {
		if key != "settings" && !strings.ContainsAny(key, ":/@") && !slices.Contains(known, key) {
			values[key] = value
		}
	}
	s := defaults
	if names, err := topology.NewNames(flat(values["name"])); err == nil {
		s = DefaultSettings(names, region) // other defaults depend on the name
	}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(values)) {
		i := slices.IndexFunc(settings[:], func(s setting) bool { return s.name == key })
		if i < 0 {
			errs = append(errs, fmt.Errorf("%s: there is no such setting: write one of %s", key, strings.Join(names(), ", ")))
			continue
		}
		value := flat(values[key])
		if err := settings[i].read(&s, value); err != nil {
			errs = append(errs, fmt.Errorf("%s is %q, and %w: write %s", key, value, simple(err), settings[i].help))
		}
	}
	return s, errors.Join(errs...)
}

// flat is a value as -c would give it.
func flat(value any) string {
	parts, ok := value.([]any)
	if !ok {
		return fmt.Sprint(value)
	}
	texts := make([]string, len(parts))
	for i, part := range parts {
		texts[i] = fmt.Sprint(part)
	}
	return strings.Join(texts, ",")
}

func simple(err error) error {
	if errors.Is(err, strconv.ErrSyntax) || errors.Is(err, strconv.ErrRange) {
		return errors.New("it can't be read")
	}
	return err
}

func names() []string {
	all := []string{"settings"}
	for _, s := range settings {
		all = append(all, s.name)
	}
	return all
}

// Print writes the effective settings, a line each, without the write key.
func (s *Settings) Print(w io.Writer) {
	shown := *s
	if shown.CanaryWriteKey != "" {
		shown.CanaryWriteKey = "(set)"
	}
	for i := range settings {
		fmt.Fprintf(w, "  %-24s %s\n", settings[i].name, settings[i].show(&shown))
	}
}

// Topology is the pipeline of these settings.
func (s *Settings) Topology() topology.Topology {
	names, err := topology.NewNames(s.Name)
	if err != nil { // which Validate reports
		names = topology.DefaultNames()
	}
	t := topology.New(topology.Options{
		Names:               names,
		ReservedConcurrency: s.ReservedConcurrency, MaximumConcurrency: s.MaximumConcurrency, BatchSize: s.BatchSize,
		BatchingWindow: time.Duration(s.WindowSeconds) * time.Second,
		LogRetention:   time.Duration(s.LogRetentionDays) * 24 * time.Hour, NoCanary: !s.Canary,
	})
	t.IngestEndpoint.RequestsPerSecond = float64(s.RequestsPerSecond)
	t.IngestEndpoint.Burst = min(t.IngestEndpoint.Burst, s.RequestsPerSecond)
	return t
}

// Validate checks what the settings say together, and each value that no single one can know:
// regions are those that exist. The error has a line for each.
func (s *Settings) Validate(regions []string) error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if _, err := topology.NewNames(s.Name); err != nil {
		errs = append(errs, err)
	}
	if len(s.Regions) == 0 {
		fail("regions is empty: write at least one, like us-east-1")
	}
	for i, region := range s.Regions {
		switch {
		case !slices.Contains(regions, region):
			fail("regions has %q, and there is no such region: write one like us-east-1 or eu-west-1", region)
		case slices.Contains(s.Regions[:i], region):
			fail("regions has %q twice: write it once", region)
		}
	}
	for _, address := range s.Emails {
		if a, err := mail.ParseAddress(address); err != nil || a.Address != address {
			fail("emails has %q, and that is no e-mail address: write one like ops@example.com", address)
		}
	}
	if len(s.KMSKeys) > 0 {
		for _, key := range s.KMSKeys {
			if keyRegion(key) == "" {
				fail("kmsKeys has %q, and that is no ARN of a key: write one like "+
					"arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab", key)
			}
		}
		for _, region := range s.Regions {
			if s.kmsKey(region) == "" {
				fail("kmsKeys has no key of %s: write one for each region, or leave the setting out", region)
			}
		}
	}
	if s.RequestsPerSecond < 1 || s.RequestsPerSecond > 10_000 {
		fail("requestsPerSecond is %d: write 1 to 10000", s.RequestsPerSecond)
	}
	t := s.Topology()
	if err := t.Validate(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

var keyARN = regexp.MustCompile(`^arn:aws[a-z-]*:kms:([a-z0-9-]+):\d{12}:key/[a-zA-Z0-9-]+$`)

func keyRegion(arn string) string {
	if m := keyARN.FindStringSubmatch(arn); m != nil {
		return m[1]
	}
	return ""
}

// kmsKey is the ARN of that region's key, empty without one.
func (s *Settings) kmsKey(region string) string {
	for _, key := range s.KMSKeys {
		if keyRegion(key) == region {
			return key
		}
	}
	return ""
}
