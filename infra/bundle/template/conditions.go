package template

import (
	"slices"

	"github.com/spillwayhq/spillway/infra/settings"
)

// A Condition decides whether parts of the template are there, and which.
type Condition struct {
	Name  string
	holds func(*Choice) bool
}

// Conditions are all of the template's.
func Conditions() []Condition { return slices.Clone(conditions) }

// Holding are the conditions that hold, by name: all names are there.
func Holding(c *Choice) map[string]bool {
	holding := map[string]bool{}
	for _, condition := range conditions {
		holding[condition.Name] = condition.holds(c)
	}
	return holding
}

var conditions = []Condition{
	{"OwnQueues", func(c *Choice) bool { return !c.Adopt }},
	{"HTTPAPI", func(c *Choice) bool { return c.Settings.IngestEndpoint == settings.HTTPAPI }},
	{"Rollout", func(c *Choice) bool { return c.Settings.Rollout == settings.RolloutCanary }},
	{"Archive", func(c *Choice) bool { return c.Settings.Archive }},
	{"ArchiveTable", func(c *Choice) bool { return c.Settings.ArchiveTable }},
	{"EventBridge", func(c *Choice) bool { return c.Settings.EventBridge }},
	{"OKNotifications", func(c *Choice) bool { return c.Settings.OKNotifications }},
	given("ReservedConcurrency"),
	{"FairQueues", func(c *Choice) bool { return c.Settings.FairQueues != settings.FairAuto }},
	given("PublicURL"), given("PathPrefix"), given("SegmentEndpointParameter"), given("WriteKeyParameter"),
	given("WriteKeysParameter"), given("WriteKeysObject"), given("CanaryWriteKey"), given("AlarmEmail"),
	given("TicketEmail"), given("PermissionsBoundary"), given("DashboardURL"),
}

// given is the condition that a parameter has a value.
func given(name string) Condition {
	return Condition{name, func(c *Choice) bool {
		t := c.Settings.Topology()
		i := slices.IndexFunc(parameters, func(p Parameter) bool { return p.Name == name })
		value := parameters[i].value(c, &t)
		return value != "" && value != "0"
	}}
}
