package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	acmtypes "github.com/aws/aws-sdk-go-v2/service/acm/types"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	agtypes "github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"
	"github.com/aws/smithy-go"

	"github.com/spillwayhq/spillway/infra/settings"
)

// A zone is what AWS and DNS say of the settings' domain, before anything is made.
type zone struct {
	err error // why AWS could not be asked; the rest is empty then
	// all with the name of the settings; with an ID, the one that has it
	found        []r53types.HostedZone
	nameServers  []string                               // of the zone
	delegated    []string                               // that DNS knows for the zone's name; empty: not known
	records      []r53types.ResourceRecordSet           // that the domain has
	certificates map[string]*acmtypes.CertificateDetail // of the settings that AWS told of, by ARN; nil: it does not exist
	custom       map[string]bool                        // whether API Gateway has the domain, by region
}

// lookupNS asks DNS for the name servers of a zone.
type lookupNS func(ctx context.Context, name string) ([]*net.NS, error)

// askDomain asks AWS about the domain's zone, records and certificates, and DNS about the zone. The
// account is as in ask.
func askDomain(ctx context.Context, account string, s *settings.Settings, dns lookupNS) zone {
	if s.Domain == "" {
		return zone{}
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	config, err := credentials(ctx, account, s.Regions)
	if err != nil {
		return zone{err: err}
	}
	z := zone{certificates: map[string]*acmtypes.CertificateDetail{}, custom: map[string]bool{}}
	var mu sync.Mutex // of the maps and failed
	var failed error  // the first
	var asking sync.WaitGroup
	note := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if failed == nil {
			failed = err
		}
	}
	if s.HostedZone != "" {
		asking.Go(func() { note(z.ask(ctx, route53.NewFromConfig(config), s)) })
		asking.Go(func() { z.delegated = delegation(ctx, s.HostedZone, dns) })
	}
	for _, region := range s.Regions {
		asking.Go(func() {
			there := config.Copy()
			there.Region = region
			exists, err := hasCustomDomain(ctx, apigatewayv2.NewFromConfig(there), s.Domain)
			note(err)
			mu.Lock()
			defer mu.Unlock()
			z.custom[region] = exists
		})
	}
	for _, arn := range s.Certificates {
		asking.Go(func() {
			there := config.Copy()
			there.Region = settings.RegionOfCertificate(arn)
			found, err := readCertificate(ctx, acm.NewFromConfig(there), arn)
			note(err)
			mu.Lock()
			defer mu.Unlock()
			z.certificates[arn] = found
		})
	}
	asking.Wait()
	if failed != nil {
		return zone{err: failed}
	}
	return z
}

// ask reads the zone of the settings, and what it has of the domain.
func (z *zone) ask(ctx context.Context, api *route53.Client, s *settings.Settings) error {
	id := s.HostedZoneID
	if id == "" {
		listed, err := api.ListHostedZonesByName(ctx, &route53.ListHostedZonesByNameInput{DNSName: &s.HostedZone})
		if err != nil {
			return fmt.Errorf("look for the hosted zone %s: %w", s.HostedZone, err)
		}
		for _, found := range listed.HostedZones {
			if undotted(found.Name) == s.HostedZone && !private(found) {
				z.found = append(z.found, found)
			}
		}
		if len(z.found) != 1 {
			return nil
		}
		id = bare(z.found[0].Id)
	}
	zone, err := api.GetHostedZone(ctx, &route53.GetHostedZoneInput{Id: &id})
	var none *r53types.NoSuchHostedZone
	switch {
	case errors.As(err, &none):
		return nil
	case err != nil:
		return fmt.Errorf("read the hosted zone %s: %w", id, err)
	}
	z.found = []r53types.HostedZone{*zone.HostedZone}
	if zone.DelegationSet != nil {
		z.nameServers = zone.DelegationSet.NameServers
	}
	// Records of other names come after those of the domain.
	records, err := api.ListResourceRecordSets(ctx,
		&route53.ListResourceRecordSetsInput{HostedZoneId: &id, StartRecordName: &s.Domain})
	if err != nil {
		return fmt.Errorf("read the records of %s in the hosted zone %s: %w", s.Domain, id, err)
	}
	for _, r := range records.ResourceRecordSets {
		if undotted(r.Name) == s.Domain {
			z.records = append(z.records, r)
		}
	}
	return nil
}

// delegation is what DNS has as the name servers of a zone; empty: it has none, or does not answer.
func delegation(ctx context.Context, zone string, dns lookupNS) (servers []string) {
	found, err := dns(ctx, zone)
	if err != nil {
		return nil
	}
	for _, server := range found {
		servers = append(servers, server.Host)
	}
	return servers
}

// hasCustomDomain reports whether API Gateway has a domain in a region, whoever made it.
func hasCustomDomain(ctx context.Context, api *apigatewayv2.Client, domain string) (bool, error) {
	_, err := api.GetDomainName(ctx, &apigatewayv2.GetDomainNameInput{DomainName: &domain})
	var none *agtypes.NotFoundException
	switch {
	case errors.As(err, &none):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("ask API Gateway for the domain %s: %w", domain, err)
	}
	return true, nil
}

// readCertificate reads a certificate in its region; nil: there is none.
func readCertificate(ctx context.Context, api *acm.Client, arn string) (*acmtypes.CertificateDetail, error) {
	got, err := api.DescribeCertificate(ctx, &acm.DescribeCertificateInput{CertificateArn: &arn})
	var refused smithy.APIError
	switch {
	case errors.As(err, &refused) && refused.ErrorCode() == "ResourceNotFoundException":
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the certificate %s: %w", arn, err)
	}
	return got.Certificate, nil
}

func private(z r53types.HostedZone) bool { return z.Config != nil && z.Config.PrivateZone }

// undotted is a name of Route 53 as people write it.
func undotted(name *string) string {
	return strings.ToLower(strings.TrimSuffix(aws.ToString(name), "."))
}

// bare is the ID of a zone without the path that some answers put before it.
func bare(id *string) string { return strings.TrimPrefix(aws.ToString(id), "/hostedzone/") }

// id is the ID of the settings' zone; empty: they have none, or check has an error.
func (z *zone) id(s *settings.Settings) string {
	switch {
	case s.HostedZoneID != "":
		return s.HostedZoneID
	case len(z.found) == 1:
		return bare(z.found[0].Id)
	}
	return ""
}

// check says why the domain can't be deployed to what AWS has, an error each. before is what each
// region's stack was deployed with.
func (z *zone) check(s *settings.Settings, before map[string]deployed) error {
	if err := checkGiven(s, before); err != nil || s.Domain == "" {
		return err
	}
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if z.err != nil {
		if s.HostedZone != "" && s.HostedZoneID == "" {
			fail("hostedZone %s: its ID is not known, because AWS could not be asked: give it as hostedZoneId: %w", s.HostedZone,
				z.err)
		}
		return errors.Join(errs...)
	}
	if s.HostedZone != "" {
		z.checkZone(s, fail)
		for _, r := range z.records {
			z.checkRecord(s, before, r, fail)
		}
	}
	for _, region := range s.Regions {
		if d := before[region]; z.custom[region] && d.err == nil && d.settings["domain"] != s.Domain {
			fail("domain: API Gateway in %s already has %s, which the stack there did not make: delete it there (aws "+
				"apigatewayv2 "+
				"delete-domain-name), or choose another domain", region, s.Domain)
		}
	}
	for _, arn := range s.Certificates {
		checkCertificate(arn, z.certificates[arn], s.Domain, fail)
	}
	return errors.Join(errs...)
}

func (z *zone) checkZone(s *settings.Settings, fail func(string, ...any)) {
	switch {
	case len(z.found) == 0 && s.HostedZoneID != "":
		fail("hostedZoneId: this account has no hosted zone %s", s.HostedZoneID)
	case len(z.found) == 0:
		fail("hostedZone: this account has no public hosted zone %s; leave hostedZone out if the zone is elsewhere, and the "+
			"outputs say which records to make", s.HostedZone)
	case len(z.found) > 1:
		var ids []string
		for _, found := range z.found {
			ids = append(ids, bare(found.Id))
		}
		fail("hostedZone: this account has several public hosted zones %s: give one of %s as hostedZoneId", s.HostedZone,
			strings.Join(ids, ", "))
	case undotted(z.found[0].Name) != s.HostedZone:
		fail("hostedZoneId: the zone %s is %s, and not %s as hostedZone says", s.HostedZoneID, undotted(z.found[0].Name),
			s.HostedZone)
	case private(z.found[0]):
		fail("hostedZoneId: the zone %s is a private one: neither SDKs nor a certificate's validation see it",
			s.HostedZoneID)
	}
}

// checkRecord fails for a record that the stacks' own would meet: CloudFormation makes a record only
// where none is in its way, and would find out after everything else is made.
func (z *zone) checkRecord(s *settings.Settings, before map[string]deployed, r r53types.ResourceRecordSet,
	fail func(string, ...any)) {
	switch region := string(r.Region); {
	case r.Type == r53types.RRTypeCname,
		slices.Contains(recordTypes[:], string(r.Type)) && region == "":
		fail("domain: the hosted zone already has a record %s of %s, beside which there can be no latency record: "+
			"delete it, or "+
			"leave hostedZone out, and replace it yourself by the records in the outputs", r.Type, s.Domain)
	case !slices.Contains(recordTypes[:], string(r.Type)) || !slices.Contains(s.Regions, region):
	case before[region].err == nil && !before[region].hasDomain(s):
		fail("domain: the hosted zone already has a latency record %s of %s for %s (%s), which the stack there did "+
			"not make: "+
			"delete it, or choose another domain", r.Type, s.Domain, region, aws.ToString(r.SetIdentifier))
	}
}

// hasDomain reports whether a stack made records of the settings' domain in their zone.
func (d deployed) hasDomain(s *settings.Settings) bool {
	return d.settings["domain"] == s.Domain && d.settings["hostedZone"] == s.HostedZone
}

// checkCertificate fails for a certificate that API Gateway would not take for the domain.
func checkCertificate(arn string, c *acmtypes.CertificateDetail, domain string, fail func(string, ...any)) {
	if c == nil {
		fail("certificates: there is no %s", arn)
		return
	}
	names := append([]string{aws.ToString(c.DomainName)}, c.SubjectAlternativeNames...)
	if !slices.ContainsFunc(names, func(name string) bool { return covers(name, domain) }) {
		slices.Sort(names)
		fail("certificates: %s is of %s, and not of %s", arn, strings.Join(slices.Compact(names), ", "), domain)
	}
	if c.Status != acmtypes.CertificateStatusIssued {
		fail("certificates: %s is %s, must be ISSUED: make the records that its validation needs, or request another one",
			arn,
			c.Status)
	}
}

// covers reports whether a name of a certificate, perhaps with a wildcard, is that of the host.
func covers(name, host string) bool {
	name = strings.ToLower(name)
	_, parent, _ := strings.Cut(host, ".")
	return name == host || name == "*."+parent
}

// tell is what is no reason to stop, and yet not as it should be: a text each.
func (z *zone) tell(s *settings.Settings) (notes []string) {
	if s.Domain == "" {
		return nil
	}
	if z.err != nil {
		return []string{fmt.Sprintf("%s: its records and certificates are not checked: %v", s.Domain, z.err)}
	}
	if s.HostedZone == "" {
		return []string{fmt.Sprintf("%s: its zone is elsewhere: make the records there that the output "+
			"DomainRecords of each "+
			"stack has", s.Domain)}
	}
	for _, r := range z.records {
		if region := string(r.Region); region != "" && !slices.Contains(s.Regions, region) && r.Type == r53types.RRTypeA {
			notes = append(notes, fmt.Sprintf("%s: Route 53 also leads to %s (%s), which is none of the regions: destroy "+
				"its stack, "+
				"or delete its records", s.Domain, region, aws.ToString(r.SetIdentifier)))
		}
	}
	normal := func(servers []string) (all []string) {
		for _, server := range servers {
			all = append(all, undotted(&server))
		}
		slices.Sort(all)
		return all
	}
	if want, has := normal(z.nameServers), normal(z.delegated); len(want) > 0 && len(has) > 0 && !slices.Equal(want, has) {
		notes = append(notes, fmt.Sprintf("%s: DNS says that its name servers are %s, and the hosted zone's are %s: "+
			"unless these "+
			"are the same to the world, nobody sees the records, and a new certificate is never validated", s.HostedZone,
			strings.Join(has, ", "), strings.Join(want, ", ")))
	}
	return notes
}
