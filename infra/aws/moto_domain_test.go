package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	acmtypes "github.com/aws/aws-sdk-go-v2/service/acm/types"
	"github.com/aws/aws-sdk-go-v2/service/route53"

	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/integration/testutil/mototest"
)

// refused is why a deployment of the settings would not begin.
func (c *cloud) refused(t *testing.T, s *settings.Settings) string {
	t.Helper()
	before, _ := c.ask(t, s)
	zone := askDomain(t.Context(), mototest.Account, s, noDNS)
	return fmt.Sprint(zone.check(s, before))
}

// records are those of a name in a zone, each as its type and the region that it leads to.
func (c *cloud) records(t *testing.T, id, name string) (all []string) {
	t.Helper()
	listed, err := route53.NewFromConfig(c.config).ListResourceRecordSets(t.Context(),
		&route53.ListResourceRecordSetsInput{HostedZoneId: &id})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range listed.ResourceRecordSets {
		if undotted(r.Name) == name {
			all = append(all, string(r.Type)+" "+string(r.Region))
		}
	}
	slices.Sort(all)
	return all
}

func TestTwoRegionsAreDeployedBehindOneNameAndOneIsTakenAway(t *testing.T) {
	c := newCloud(t)
	c.bootstrap(t, "eu-west-1")
	c.bootstrap(t, "us-east-1")
	s := shared(func(s *settings.Settings) { s.HostedZoneID = "" })
	if said := c.refused(t, s); !strings.HasPrefix(said, "hostedZone: this account has no public hosted zone example.com") {
		t.Errorf("without a zone it says %q", said)
	}
	made, err := route53.NewFromConfig(c.config).CreateHostedZone(t.Context(),
		&route53.CreateHostedZoneInput{Name: aws.String("example.com"), CallerReference: aws.String("test")})
	if err != nil {
		t.Fatal(err)
	}
	id := bare(made.HostedZone.Id)

	for region, tmpl := range c.deploy(t, s).templates {
		compare(t, tmpl, c.read(t, region, topology.DefaultNames().Stack(region)))
	}
	all := []string{"A eu-west-1", "A us-east-1", "AAAA eu-west-1", "AAAA us-east-1"}
	if got := c.records(t, id, s.Domain); !slices.Equal(got, all) {
		t.Errorf("the name has the records %q, want %q", got, all)
	}
	if again := c.deploy(t, s); again.changed["eu-west-1"] || again.changed["us-east-1"] {
		t.Errorf("a second deployment changed %v", again.changed)
	}

	other := *s
	other.Name = "staging"
	if said := c.refused(t, &other); !strings.Contains(said, "which the stack there did not make") {
		t.Errorf("another pipeline with the same name is told %q", said)
	}

	forgetful := settings.Default(topology.DefaultNames(), "eu-west-1")
	if said := c.refused(t, &forgetful); !strings.Contains(said, "give domain=events.example.com, or domain=none") {
		t.Errorf("a deployment that forgets the name is told %q", said)
	}

	c.destroy(t, "us-east-1", s)
	if got := c.records(t, id, s.Domain); !slices.Equal(got, []string{"A eu-west-1", "AAAA eu-west-1"}) {
		t.Errorf("without us-east-1 the name has the records %q", got)
	}
	s.Regions = []string{"eu-west-1"}
	for region, tmpl := range c.deploy(t, s).templates {
		compare(t, tmpl, c.read(t, region, topology.DefaultNames().Stack(region)))
	}

	arn, err := acm.NewFromConfig(c.config).RequestCertificate(t.Context(), &acm.RequestCertificateInput{
		DomainName: aws.String("other.example.com"), ValidationMethod: acmtypes.ValidationMethodDns})
	if err != nil {
		t.Fatal(err)
	}
	s.Certificates = []string{aws.ToString(arn.CertificateArn)}
	for _, want := range []string{" is of other.example.com, and not of events.example.com\n",
		" is PENDING_VALIDATION, must be ISSUED"} {
		if said := c.refused(t, s); !strings.Contains(said, want) {
			t.Errorf("with another name's certificate, which is not validated, it says %q, want %q", said, want)
		}
	}
	s.Certificates = []string{someCertificate}
	if said := c.refused(t, s); said != "certificates: there is no "+someCertificate {
		t.Errorf("with a certificate that does not exist it says %q", said)
	}
	s.Certificates, s.HostedZoneID = nil, "ZNONE"
	if said := c.refused(t, s); said != "hostedZoneId: this account has no hosted zone ZNONE" {
		t.Errorf("with the ID of no zone it says %q", said)
	}
}
