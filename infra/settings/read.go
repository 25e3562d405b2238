package settings

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/s3"
	"github.com/spillwayhq/spillway/shared/segment"
)

// A setting is one field of settings by its name: how it is read and shown.
type setting struct {
	name string
	must string // what the value must be, as an error says it; empty: the error of read says it
	read func(*Settings, string) error
	show func(*Settings) string
}

// errInvalid is an error of a setting's read that has nothing to add to what the value must be.
var errInvalid = errors.New("invalid")

// allSettings are shown in this order.
var allSettings = [...]setting{
	nameSetting,
	listOf("regions", "be AWS regions, like us-east-1,eu-west-1", func(s *Settings) *[]string { return &s.Regions }),
	reservedConcurrency,
	maximumConcurrency,
	numberOf("batchSize", "be 1 to 10000 messages", func(s *Settings) *int { return &s.BatchSize }),
	numberOf("batchingWindowSeconds", "be 0 to 300", func(s *Settings) *int { return &s.BatchingWindowSeconds }),
	numberOf("logRetentionDays", "be 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180 or 365",
		func(s *Settings) *int { return &s.LogRetentionDays }),
	choiceOf("logLevel", func(s *Settings) *string { return &s.LogLevel }, "debug", "info", "warn", "error"),
	choiceOf("architecture", func(s *Settings) *string { return &s.Architecture }, "arm64", "x86_64"),
	choiceOf("rollout", func(s *Settings) *string { return &s.Rollout }, RolloutCanary, RolloutAll),
	choiceOf("ingestEndpoint", func(s *Settings) *string { return &s.IngestEndpoint }, HTTPAPI,
		FunctionURL, None),
	switchOf("ingestFallbacks", func(s *Settings) *bool { return &s.IngestFallbacks }),
	numberOf("requestsPerSecond", "be 1 to 10000", func(s *Settings) *int { return &s.RequestsPerSecond }),
	textOf("publicURL", "be a scheme and host, like https://events.example.com, or none", isHTTPS,
		func(s *Settings) *string { return &s.PublicURL }),
	textOf("pathPrefix", "be a path like /events, or none", isPathPrefix,
		func(s *Settings) *string { return &s.PathPrefix }),
	choiceOf("fairQueues", func(s *Settings) *string { return &s.FairQueues }, FairAuto, "true", "false"),
	domainSetting,
	zoneSetting,
	textOf("hostedZoneId", "be the ID of a hosted zone, like Z0123456789ABCDEFGHIJ, or none", isZoneID,
		func(s *Settings) *string { return &s.HostedZoneID }),
	listOf("certificates", "be the ARNs of certificates, at most one for each region",
		func(s *Settings) *[]string { return &s.Certificates }),
	segmentEndpoint,
	textOf("segmentEndpointParameter", "be the name of an SSM parameter, like /spillway/segment-endpoint, or none",
		isParameter, func(s *Settings) *string { return &s.EndpointParameter }),
	textOf("writeKeyParameter", "be the name of an SSM parameter, like /spillway/write-key, or none", isParameter,
		func(s *Settings) *string { return &s.WriteKeyParameter }),
	listOf("writeKeysParameter", "be the name of an SSM parameter, like /spillway/write-keys, or several separated by "+
		"commas, or none", func(s *Settings) *[]string { return &s.WriteKeysParameters }),
	writeKeysObject,
	switchOf("canary", func(s *Settings) *bool { return &s.Canary }),
	textOf("canaryWriteKey", "be the write key of a Segment source for the canary, or none", isWriteKey,
		func(s *Settings) *string { return &s.CanaryWriteKey }),
	listOf("emails", "be e-mail addresses, like ops@example.com", func(s *Settings) *[]string { return &s.Emails }),
	ticketEmails,
	switchOf("okNotifications", func(s *Settings) *bool { return &s.OKNotifications }),
	switchOf("eventBridge", func(s *Settings) *bool { return &s.EventBridge }),
	switchOf("archive", func(s *Settings) *bool { return &s.Archive }),
	archiveDays,
	switchOf("archiveTable", func(s *Settings) *bool { return &s.ArchiveTable }),
	textOf("runbook", "be the URL of a runbook with the sections of docs/runbook.md, or none for the public one", isPage,
		func(s *Settings) *string { return &s.Runbook }),
	listOf("kmsKeys", "be the ARN of a KMS key for each region", func(s *Settings) *[]string { return &s.KMSKeys }),
	textOf("permissionsBoundary", "be the ARN of an IAM policy, like arn:aws:iam::123456789012:policy/boundary, or none",
		isPolicyARN, func(s *Settings) *string { return &s.PermissionsBoundary }),
	tagsSetting,
	switchOf("terminationProtection", func(s *Settings) *bool { return &s.TerminationProtection }),
	adoptQueues,
	statusRegion,
	textOf("statusDomain", "be the status site's host name, like status.example.com, or none", isHostName,
		func(s *Settings) *string { return &s.StatusDomain }),
	textOf("statusCertificate", "be the ARN of a certificate in us-east-1, like arn:aws:acm:us-east-1:123456789012:"+
		"certificate/12345678-1234-1234-1234-123456789012, or none", isCertificate,
		func(s *Settings) *string { return &s.StatusCertificate }),
	statusSiteFile,
}

var nameSetting = setting{
	"name", "", // its error says all
	func(s *Settings, text string) error {
		names, err := topology.NewNames(text)
		if err == nil {
			s.Name = names.Pipeline
		}
		return err
	},
	func(s *Settings) string { return s.Name },
}

var reservedConcurrency = setting{
	"reservedConcurrency", fmt.Sprintf("be at least %d, two for each event source, or none", topology.MinReserved),
	func(s *Settings, text string) error {
		if text == None {
			s.ReservedConcurrency = 0
			return nil
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < topology.MinReserved {
			return errInvalid
		}
		s.ReservedConcurrency = n
		return nil
	},
	func(s *Settings) string {
		if s.ReservedConcurrency == 0 {
			return None
		}
		return strconv.Itoa(s.ReservedConcurrency)
	},
}

var maximumConcurrency = setting{
	"maximumConcurrency", "be 2 to 1000, at most the reserved concurrency without the 2 of the bulk queue",
	numberOf("", "", func(s *Settings) *int { return &s.MaximumConcurrency }).read,
	func(s *Settings) string {
		t := s.Topology()
		return strconv.Itoa(t.EventSources[0].MaximumConcurrency)
	},
}

var archiveDays = setting{
	"archiveDays", fmt.Sprintf("be 1 to %d", topology.MaxArchiveDays),
	func(s *Settings, text string) error {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > topology.MaxArchiveDays {
			return errInvalid
		}
		s.ArchiveDays = n
		return nil
	},
	func(s *Settings) string { return strconv.Itoa(s.ArchiveDays) },
}

var ticketEmails = setting{
	"ticketEmails", "be e-mail addresses, or none",
	func(s *Settings, text string) error {
		s.TicketEmails = append([]string{}, split(text)...) // not nil: none is nobody
		return nil
	},
	func(s *Settings) string { return joined(s.TicketRecipients()) },
}

// writeKeysObject takes the place of the parameter that a deployment has by default. Settings are
// read in the order of their names, so that a writeKeysParameter beside it holds.
var writeKeysObject = setting{
	"writeKeysObject", "", func(s *Settings, text string) error {
		if s.WriteKeysObject = ""; text == None {
			return nil
		}
		s.WriteKeysObject, s.WriteKeysParameters = text, nil
		_, _, err := s3.ParseURI(s.KeysObject("us-east-1"))
		return err
	},
	func(s *Settings) string { return cmp.Or(s.WriteKeysObject, None) },
}

var segmentEndpoint = setting{
	"segmentEndpoint", "be us, eu or a URL",
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
}

var adoptQueues = setting{
	"adoptQueues", "be auto, true, false or some of the regions",
	func(s *Settings, text string) error {
		s.AdoptQueues = strings.Join(split(text), ",")
		if value, err := strconv.ParseBool(text); err == nil {
			s.AdoptQueues = strconv.FormatBool(value)
		}
		if s.AdoptQueues == "" {
			s.AdoptQueues = AdoptNone
		}
		return nil
	},
	func(s *Settings) string { return s.AdoptQueues },
}

var tagsSetting = setting{
	"tags", "be key=value pairs, like team=data,env=prod",
	func(s *Settings, text string) error {
		s.Tags = nil
		for _, pair := range split(text) {
			key, value, ok := strings.Cut(pair, "=")
			if !ok {
				return errInvalid
			}
			if _, twice := s.Tags[key]; twice {
				return fmt.Errorf("the key %s is there twice", key)
			}
			if s.Tags == nil {
				s.Tags = map[string]string{}
			}
			s.Tags[key] = value
		}
		return nil
	},
	func(s *Settings) string { return joined(pairs(s.Tags)) },
}

// pairs are key=value, in the order of the keys.
func pairs[V any](values map[string]V) []string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(values)) {
		all = append(all, fmt.Sprint(key, "=", values[key]))
	}
	return all
}

// split returns the parts of a list that is separated by commas, without empty ones.
func split(text string) []string {
	var parts []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" && part != None {
			parts = append(parts, part)
		}
	}
	return parts
}

func joined(parts []string) string {
	if len(parts) == 0 {
		return None
	}
	return strings.Join(parts, ",")
}

func textOf(name, must string, valid func(string) error, field func(*Settings) *string) setting {
	return setting{name, must, func(s *Settings, text string) error {
		if text == None {
			text = ""
		}
		*field(s) = text
		if text == "" {
			return nil
		}
		return valid(text)
	}, func(s *Settings) string {
		if *field(s) == "" {
			return None
		}
		return *field(s)
	}}
}

func listOf(name, must string, field func(*Settings) *[]string) setting {
	return setting{name, must, func(s *Settings, text string) error {
		*field(s) = split(text)
		return nil
	}, func(s *Settings) string { return joined(*field(s)) }}
}

func numberOf(name, must string, field func(*Settings) *int) setting {
	return setting{name, must, func(s *Settings, text string) error {
		n, err := strconv.Atoi(text)
		if err != nil { // the default remains, so that validate does not report the same mistake again
			return errInvalid
		}
		*field(s) = n
		return nil
	}, func(s *Settings) string { return strconv.Itoa(*field(s)) }}
}

func choiceOf(name string, field func(*Settings) *string, choices ...string) setting {
	return setting{name, "be " + strings.Join(choices, " or "), func(s *Settings, text string) error {
		*field(s) = text
		if !slices.Contains(choices, text) {
			return errInvalid
		}
		return nil
	}, func(s *Settings) string { return *field(s) }}
}

func switchOf(name string, field func(*Settings) *bool) setting {
	return setting{name, "be true or false", func(s *Settings, text string) error {
		value, err := strconv.ParseBool(text)
		if err != nil {
			return errInvalid
		}
		*field(s) = value
		return nil
	}, func(s *Settings) string { return strconv.FormatBool(*field(s)) }}
}

// Read reads settings over the defaults of a deployment to region: context has values by their
// names, as a CDK app gets them, and its value "settings" is the name of a JSON file with others,
// which readFile reads. Values beside the file override it. Keys with a colon, a slash or an @ are the
// CDK's own, and so are those of known: they are skipped. The error has a line for each wrong value,
// which says what it must be. Validate checks the settings together.
func Read(region string, context map[string]any, known []string,
	readFile func(string) ([]byte, error)) (Settings, error) {
	s := Default(topology.DefaultNames(), region)
	values := map[string]any{}
	if file, ok := context["settings"]; ok {
		content, err := readFile(fmt.Sprint(file))
		if err != nil {
			return s, fmt.Errorf("read the settings file %v: %w", file, err)
		}
		if err := json.Unmarshal(content, &values); err != nil {
			return s, fmt.Errorf("read the settings file %v: must be a JSON object like {\"reservedConcurrency\": 20}: %w",
				file, err)
		}
	}
	for key, value := range context {
		if key != "settings" && !strings.ContainsAny(key, ":/@") && !slices.Contains(known, key) {
			values[key] = value
		}
	}
	if names, err := topology.NewNames(flat(values["name"])); err == nil {
		s = Default(names, region) // other defaults depend on the name
	}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(values)) {
		errs = append(errs, s.Set(key, flat(values[key])))
	}
	return s, errors.Join(errs...)
}

// Set changes the setting with that name.
func (s *Settings) Set(name, value string) error {
	i := slices.IndexFunc(allSettings[:], func(s setting) bool { return s.name == name })
	if i < 0 {
		return fmt.Errorf("unknown setting %q (known: %s)", name, strings.Join(settingNames(), ", "))
	}
	if keptFingerprint.MatchString(value) {
		return fmt.Errorf("%s is only the fingerprint that a stack keeps of a secret or long value: give the value itself",
			name)
	}
	switch err := allSettings[i].read(s, value); {
	case err != nil && allSettings[i].must == "":
		return fmt.Errorf("%s: %w", name, err)
	case errors.Is(err, errInvalid):
		return fmt.Errorf("%s must %s, is %q", name, allSettings[i].must, value)
	case err != nil:
		return fmt.Errorf("%s must %s, is %q: %w", name, allSettings[i].must, value, err)
	}
	return nil
}

// flat is a value of a JSON file as -c would give it.
func flat(value any) string {
	switch value := value.(type) {
	case []any:
		texts := make([]string, len(value))
		for i, part := range value {
			texts[i] = fmt.Sprint(part)
		}
		return strings.Join(texts, ",")
	case map[string]any:
		return strings.Join(pairs(value), ",")
	}
	return fmt.Sprint(value)
}

func settingNames() []string { return append([]string{"settings"}, Names()...) }

// Names are the names of all settings, in the order in which they are shown.
func Names() []string {
	var all []string
	for _, s := range allSettings {
		all = append(all, s.name)
	}
	return all
}
