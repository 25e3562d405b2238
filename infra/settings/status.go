package settings

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/status"
)

// maxStatusRegions: the first serves the site, and CloudFront falls back to one other.
const maxStatusRegions = 2

var statusRegion = setting{
	"statusRegion", "be one or two AWS regions, none of them the pipeline's, like eu-central-1 or " +
		"eu-central-1,eu-west-3, " +
		"or none",
	func(s *Settings, text string) error {
		s.StatusRegions = split(text)
		if len(s.StatusRegions) == 0 && text != None {
			return errInvalid
		}
		return nil
	},
	func(s *Settings) string { return joined(s.StatusRegions) },
}

var statusSiteFile = setting{
	"statusSite", "", // its error says all
	func(s *Settings, text string) (err error) {
		if s.StatusSite = text; text == None {
			s.StatusSite = ""
			return nil
		}
		s.statusSite, err = status.LoadSite(text)
		return err
	},
	func(s *Settings) string { return joined(split(s.StatusSite)) },
}

var (
	hostName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`)
	// certificateARN has the region that CloudFront reads certificates from, wherever the stack is.
	certificateARN = regexp.MustCompile(`^arn:aws:acm:([a-z0-9-]+):\d{12}:certificate/[0-9a-f-]+$`)
)

const certificateRegion = "us-east-1"

func isHostName(text string) error {
	if !hostName.MatchString(text) || len(text) > 253 {
		return errInvalid
	}
	return nil
}

func isCertificate(text string) error {
	found := certificateARN.FindStringSubmatch(text)
	if found == nil {
		return errInvalid
	}
	if found[1] != certificateRegion {
		return fmt.Errorf("CloudFront reads certificates of %s only, and this one is in %s: request another one there",
			certificateRegion, found[1])
	}
	return nil
}

// validateStatus checks what the settings of the status site say together.
func (s *Settings) validateStatus(fail func(string, ...any), partitions map[string]string) {
	if len(s.StatusRegions) > maxStatusRegions {
		fail("statusRegion must be at most %d regions, are %d", maxStatusRegions, len(s.StatusRegions))
	}
	for i, region := range s.StatusRegions {
		switch {
		case partitions[region] == "":
			fail("statusRegion: unknown region %q, must be one like us-east-1 or eu-west-1", region)
		case slices.Contains(s.StatusRegions[:i], region):
			fail("statusRegion must name each region once, has %q twice", region)
		case slices.Contains(s.Regions, region):
			fail("statusRegion must be none of the pipeline's regions, because the status site must stand when they do not, "+
				"has %q", region)
		case partitions[region] != "aws":
			fail("statusRegion must be of the partition aws, because this stack needs what CloudFront has only there, "+
				"and %q is "+
				"of %s: write the site with spillway status render, and host it yourself", region, partitions[region])
		case len(s.Regions) > 0 && partitions[s.Regions[0]] != partitions[region]:
			fail("statusRegion must be of the pipeline's partition, because an account is: %q is of %s, and %q of %s",
				s.Regions[0], partitions[s.Regions[0]], region, partitions[region])
		}
	}
	for name, value := range map[string]string{"statusDomain": s.StatusDomain, "statusCertificate": s.StatusCertificate,
		"statusSite": s.StatusSite} {
		if value != "" && len(s.StatusRegions) == 0 {
			fail("%s needs statusRegion, without which there is no status site", name)
		}
	}
	if (s.StatusDomain == "") != (s.StatusCertificate == "") {
		fail("statusDomain and statusCertificate belong together: the certificate, in %s, must be of that domain",
			certificateRegion)
	}
	if s.StatusDomain != "" && s.statusSite.URL != "" && strings.TrimSuffix(s.statusSite.URL, "/") != s.StatusURL() {
		fail("statusSite: url must be %s as statusDomain says, or missing, is %q", s.StatusURL(), s.statusSite.URL)
	}
	if len(s.StatusRegions) > 0 {
		site := s.StatusTopology()
		if err := site.Validate(); err != nil {
			fail("%w", err)
		}
	}
}

// StatusTopology is what each status region has with these settings.
func (s *Settings) StatusTopology() topology.StatusSite { return topology.NewStatusSite(s.Options()) }

// StatusURL is where the site is served on a domain of one's own.
func (s *Settings) StatusURL() string { return "https://" + s.StatusDomain }

// SiteFile is the file with the site's title, logo and links that the status function reads; nil:
// it needs none.
func (s *Settings) SiteFile() []byte {
	site := s.statusSite
	if s.StatusDomain != "" {
		site.URL = s.StatusURL()
	}
	content, _ := json.Marshal(site) // texts in a struct: it can't fail
	if string(content) == "{}" {
		return nil
	}
	return content
}
