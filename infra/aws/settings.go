package main

import (
	"errors"
	"fmt"
	"slices"

	r53types "github.com/aws/aws-sdk-go-v2/service/route53/types"

	"github.com/spillwayhq/spillway/infra/functions"
	"github.com/spillwayhq/spillway/infra/settings"
	"github.com/spillwayhq/spillway/infra/topology"
)

// validate checks the settings, with what only AWS's libraries know. The error has a line for each
// wrong value.
func validate(s *settings.Settings, partitions map[string]string) error {
	errs := []error{s.Validate(partitions)}
	if s.Domain == "" {
		return errors.Join(errs...)
	}
	for _, region := range s.Regions { // of which AWS's library knows those that Route 53 does
		if !slices.Contains(r53types.ResourceRecordSetRegion("").Values(), r53types.ResourceRecordSetRegion(region)) ||
			!slices.Contains(r53types.CloudWatchRegion("").Values(), r53types.CloudWatchRegion(region)) {
			errs = append(errs, fmt.Errorf("domain: Route 53 has no latency records for %s, or does not read alarms "+
				"there, as far as this version knows",
				region))
		}
	}
	return errors.Join(errs...)
}

// functionsOf are those of all stacks, and the files that go into their archives, by their names.
func functionsOf(s *settings.Settings) ([]topology.Function, map[string][]functions.File) {
	all := s.Topology().Functions
	if len(s.StatusRegions) == 0 {
		return all, nil
	}
	beside := map[string][]functions.File{}
	for _, f := range s.StatusTopology().Functions {
		all = append(all, f)
		if content := s.SiteFile(); content != nil {
			beside[f.Name] = []functions.File{{Name: topology.StatusFile, Content: content}}
		}
	}
	return all, beside
}

// checkGiven fails for a deployment that would take the name away, or its records, only because a
// setting was forgotten. Other settings have their default again then; these are the address of all
// SDKs.
func checkGiven(s *settings.Settings, before map[string]deployed) error {
	for _, region := range s.Regions {
		stack, was := s.Topology().Names.Stack(region), before[region].settings
		had := func(name string) bool { return was[name] != "" && was[name] != settings.None }
		switch {
		case s.Domain == "" && !s.DomainGiven && had("domain"):
			return fmt.Errorf("domain: %s is deployed behind %s, and without the setting SDKs would find nothing there: give "+
				"domain=%s, or domain=%s if it shall go", stack, was["domain"], was["domain"], settings.None)
		case s.Domain != "" && s.Domain == was["domain"] && s.HostedZone == "" && !s.ZoneGiven && had("hostedZone"):
			return fmt.Errorf("hostedZone: %s made the records of %s in %s, and without the setting it would delete them: give "+
				"hostedZone=%s, or hostedZone=%s if they are made elsewhere", stack, s.Domain, was["hostedZone"],
				was["hostedZone"], settings.None)
		}
	}
	return nil
}
