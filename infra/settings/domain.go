package settings

import (
	"regexp"
	"slices"
	"strings"
)

var (
	zoneID              = regexp.MustCompile(`^Z[0-9A-Z]{1,31}$`)
	regionalCertificate = regexp.MustCompile(`^arn:aws[a-z-]*:acm:([a-z0-9-]+):\d{12}:certificate/[0-9a-f-]+$`)
)

var (
	domainSetting = noting(textOf("domain",
		"be a host name in lower case that SDKs use in every region, like events.example.com, or none", isHostName,
		func(s *Settings) *string { return &s.Domain }), func(s *Settings) *bool { return &s.DomainGiven })
	zoneSetting = noting(textOf("hostedZone",
		"be the name of a public hosted zone of Route 53 in lower case, like example.com, or none", isHostName,
		func(s *Settings) *string { return &s.HostedZone }), func(s *Settings) *bool { return &s.ZoneGiven })
)

// noting is a setting that notes that it was given, be it as none.
func noting(is setting, given func(*Settings) *bool) setting {
	read := is.read
	is.read = func(s *Settings, text string) error {
		*given(s) = true
		return read(s, text)
	}
	return is
}

// maxCommonName is the length of the longest name of a certificate's subject (RFC 5280), which ACM
// takes from the domain of a request.
const maxCommonName = 64

func isZoneID(text string) error {
	if !zoneID.MatchString(text) {
		return errInvalid
	}
	return nil
}

// RegionOfCertificate is the region of the certificate with that ARN, empty if it is not one.
func RegionOfCertificate(arn string) string {
	if m := regionalCertificate.FindStringSubmatch(arn); m != nil {
		return m[1]
	}
	return ""
}

// Certificate is the ARN of the settings' certificate in a region, empty if there is none.
func (s *Settings) Certificate(region string) string {
	for _, arn := range s.Certificates {
		if RegionOfCertificate(arn) == region {
			return arn
		}
	}
	return ""
}

// DomainURL is what SDKs use in every region.
func (s *Settings) DomainURL() string { return "https://" + s.Domain }

// validateDomain checks what the settings of the domain say together.
func (s *Settings) validateDomain(fail func(string, ...any)) {
	if s.Domain == "" {
		for _, needs := range [...]struct {
			name string
			set  bool
		}{{"hostedZone", s.HostedZone != ""}, {"hostedZoneId", s.HostedZoneID != ""},
			{"certificates", len(s.Certificates) > 0}} {
			if needs.set {
				fail("%s needs domain, the host name that SDKs use", needs.name)
			}
		}
		return
	}
	if isHostName(s.Domain) != nil || s.HostedZone != "" && isHostName(s.HostedZone) != nil {
		return // which the setting's own line says
	}
	if s.IngestEndpoint != HTTPAPI {
		fail("domain needs ingestEndpoint=%s, because nothing else can have a domain of its own, is %s", HTTPAPI,
			s.IngestEndpoint)
	}
	if len(s.Regions) > 1 && !s.Canary {
		fail("domain needs canary=true with several regions, because nothing else tells Route 53 that one of them has failed")
	}
	if s.Domain == s.StatusDomain {
		fail("domain and statusDomain must differ, both are %s", s.Domain)
	}
	if s.HostedZone != "" && s.Domain != s.HostedZone && !strings.HasSuffix(s.Domain, "."+s.HostedZone) {
		fail("domain %s is outside of hostedZone %s: it must be %s, or end with .%s", s.Domain, s.HostedZone, s.HostedZone,
			s.HostedZone)
	}
	if s.HostedZoneID != "" && s.HostedZone == "" {
		fail("hostedZoneId needs hostedZone, the zone's name")
	}
	s.validateCertificates(fail)
}

func (s *Settings) validateCertificates(fail func(string, ...any)) {
	right := true // otherwise a region's may be missing only because its ARN is wrong
	wrong := func(format string, args ...any) {
		right = false
		fail(format, args...)
	}
	for i, arn := range s.Certificates {
		region := RegionOfCertificate(arn)
		switch {
		case region == "":
			wrong("certificates must be ARNs like arn:aws:acm:eu-west-1:123456789012:certificate/"+
				"12345678-1234-1234-1234-123456789012, has %q", arn)
		case !slices.Contains(s.Regions, region):
			wrong("certificates must be of the regions %s, because an API reads only those of its own, has one of %s: request "+
				"another one there", strings.Join(s.Regions, ","), region)
		case s.Certificate(region) != arn || slices.Contains(s.Certificates[:i], arn):
			wrong("certificates must be one for each region, has several of %s", region)
		}
	}
	for _, region := range s.Regions {
		switch {
		case s.Certificate(region) != "" || !right:
		case s.HostedZone == "":
			fail("certificates has none of %s, and without hostedZone no stack can have one validated: request it there, and "+
				"give its ARN", region)
		case len(s.Domain) > maxCommonName:
			fail("domain must have at most %d characters for a new certificate, has %d: request one in %s whose first name is "+
				"shorter, and give its ARN in certificates", maxCommonName, len(s.Domain), region)
		}
	}
}
