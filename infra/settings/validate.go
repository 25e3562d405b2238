package settings

import (
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/canary"
	"github.com/spillwayhq/spillway/shared/ingest"
)

// Validate checks what the settings say together, and each value that no single one can know:
// partitions has that of each region that exists. The error has a line for each.
func (s *Settings) Validate(partitions map[string]string) error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if _, err := topology.NewNames(s.Name); err != nil {
		errs = append(errs, err)
	}
	if len(s.Regions) == 0 {
		fail("regions must name at least one region, like us-east-1")
	}
	for i, region := range s.Regions {
		switch {
		case partitions[region] == "":
			fail("regions: unknown region %q, must be one like us-east-1 or eu-west-1", region)
		case slices.Contains(s.Regions[:i], region):
			fail("regions must name each region once, has %q twice", region)
		case partitions[region] != partitions[s.Regions[0]]:
			fail("regions must be of one partition, because an account is: %q is of %s, and %q of %s", s.Regions[0],
				partitions[s.Regions[0]], region, partitions[region])
		}
	}
	if s.AdoptQueues != AdoptAuto && s.AdoptQueues != AdoptAll && s.AdoptQueues != AdoptNone {
		for _, region := range split(s.AdoptQueues) {
			if !slices.Contains(s.Regions, region) {
				fail("adoptQueues must be auto, true, false or some of the regions, has %q", region)
			}
		}
	}
	validateEmails(fail, "emails", s.Emails)
	validateEmails(fail, "ticketEmails", s.TicketEmails)
	s.validateKeys(fail)
	s.validateTags(fail)
	s.validateDomain(fail)
	s.validateStatus(fail, partitions)
	for i, name := range s.WriteKeysParameters {
		if isParameter(name) != nil || slices.Contains(s.WriteKeysParameters[:i], name) {
			fail("writeKeysParameter must be names of SSM parameters like /spillway/write-keys, each once, has %q", name)
		}
	}
	if strings.ContainsAny(s.WriteKeysObject, "*?$") {
		fail("writeKeysObject must have none of * ? $ in it, which a policy would take for more than one object, is %q",
			s.WriteKeysObject)
	}
	bucket, _, _ := strings.Cut(strings.TrimPrefix(s.WriteKeysObject, "s3://"), "/")
	if bucket != "" && len(s.Regions) > 1 && !strings.Contains(bucket, inRegion) {
		fail("writeKeysObject must have %s in the name of its bucket, as s3://keys-%[1]s/write-keys.json, because each "+
			"region reads a bucket of its own", inRegion)
	}
	if s.RequestsPerSecond < 1 || s.RequestsPerSecond > 10_000 {
		fail("requestsPerSecond must be 1 to 10000, is %d", s.RequestsPerSecond)
	}
	if s.Canary && s.IngestEndpoint == None {
		fail("the canary needs an ingest endpoint: canary must be false with ingestEndpoint none")
	}
	if s.ArchiveTable && !s.Archive {
		fail("archiveTable needs archive=true, because the table is over the archive's bucket")
	}
	t := s.Topology()
	return errors.Join(append(errs, t.Validate())...)
}

func validateEmails(fail func(string, ...any), name string, addresses []string) {
	for _, address := range addresses {
		if a, err := mail.ParseAddress(address); err != nil || a.Address != address {
			fail("%s must be e-mail addresses like ops@example.com, has %q", name, address)
		}
	}
}

func (s *Settings) validateKeys(fail func(string, ...any)) {
	for _, key := range s.KMSKeys {
		if keyRegion(key) == "" {
			fail("kmsKeys must be ARNs like arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab, "+
				"has %q", key)
		}
	}
	for _, region := range s.Regions {
		if len(s.KMSKeys) > 0 && s.KMSKey(region) == "" {
			fail("kmsKeys must have a key of each region, has none of %s", region)
		}
	}
}

// Limits of tags (AWS general reference, "Tag naming limits and requirements"). Our own two tags
// count too.
const (
	maxTags     = 50
	maxTagKey   = 128
	maxTagValue = 256
)

var tagText = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

func (s *Settings) validateTags(fail func(string, ...any)) {
	own := (&Settings{}).AllTags()
	for _, pair := range pairs(s.Tags) {
		key, value, _ := strings.Cut(pair, "=")
		_, taken := own[key]
		switch {
		case key == "" || utf8.RuneCountInString(key) > maxTagKey || utf8.RuneCountInString(value) > maxTagValue:
			fail("tags must have keys of 1 to %d characters and values of at most %d, has %q", maxTagKey, maxTagValue, pair)
		case !tagText.MatchString(key) || !tagText.MatchString(value):
			fail("tags must have letters, digits, spaces and _.:/=+-@ only, has %q", pair)
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			fail("tags must not have keys that begin with aws:, has %q", pair)
		case taken:
			fail("tags must not have the key %s, which every stack has already", key)
		}
	}
	if most := maxTags - len(own); len(s.Tags) > most {
		fail("tags must be at most %d, are %d", most, len(s.Tags))
	}
}

var keyARN = regexp.MustCompile(`^arn:aws[a-z-]*:kms:([a-z0-9-]+):\d{12}:key/[a-zA-Z0-9-]+$`)

// keyRegion is the region of the KMS key with that ARN, empty if it is not one.
func keyRegion(arn string) string {
	if m := keyARN.FindStringSubmatch(arn); m != nil {
		return m[1]
	}
	return ""
}

var policyARN = regexp.MustCompile(`^arn:aws[a-z-]*:iam::(\d{12}|aws):policy/[\w+=,.@/-]+$`)

func isPolicyARN(text string) error {
	if !policyARN.MatchString(text) {
		return errInvalid
	}
	return nil
}

var parameterName = regexp.MustCompile(`^/?[a-zA-Z0-9_.-]+(/[a-zA-Z0-9_.-]+)*$`)

func isParameter(name string) error {
	if !parameterName.MatchString(name) {
		return errInvalid
	}
	return nil
}

func isWriteKey(key string) error {
	_, err := canary.New(canary.Config{URL: "https://events.example.com", WriteKey: key})
	return err
}

func isPathPrefix(text string) error {
	if prefix, err := ingest.ParsePathPrefix(text); err != nil || prefix == "" {
		return errInvalid
	}
	return nil
}

func isHTTPS(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return errInvalid
	}
	return nil
}

// isPage checks the URL of a page, to whose sections texts refer by #.
func isPage(text string) error {
	if u, err := url.Parse(text); err != nil || u.Scheme != "https" || u.Host == "" || u.Fragment != "" {
		return errInvalid
	}
	return nil
}
