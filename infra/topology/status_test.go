package topology

import (
	"strings"
	"testing"
	"time"
)

func TestTheDefaultStatusSiteIsValid(t *testing.T) {
	s := NewStatusSite(DefaultOptions())
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	if len(s.Functions) != 1 || len(s.Schedules) != 1 || len(s.Alarms) != 1 || len(s.Queues) != 0 {
		t.Errorf("the site has %+v", s.Topology)
	}
	if topic := s.Notifies(s.Alarms[0].Name); topic != s.Names.TicketTopic {
		t.Errorf("its alarm notifies %q, want the topic of tickets", topic)
	}
}

func TestValidateRefusesAStatusSiteThatAWSWouldRefuse(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Options, *StatusSite)
		want   string
	}{
		"an invocation that may run into the next": {func(_ *Options, s *StatusSite) {
			s.Functions[0].Timeout = time.Minute
		}, "timeout must be below 1m"},
		"a retention that CloudWatch does not have": {func(_ *Options, s *StatusSite) {
			s.Functions[0].LogRetention = 31 * day
		}, "log retention must be one of"},
		"versions that are kept for hours": {func(_ *Options, s *StatusSite) {
			s.KeptVersions = time.Hour
		}, "versions must be kept for whole days"},
		"a name that no bucket may begin with": {func(o *Options, s *StatusSite) {
			o.Names = newNames("xn--shop")
			*s = NewStatusSite(*o)
		}, "S3 refuses buckets whose name begins with xn--"},
	} {
		o := DefaultOptions()
		s := NewStatusSite(o)
		c.change(&o, &s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// S3 takes 63 characters, of which the longest name of a pipeline and of a region leave enough.
func TestTheLongestNameOfAStatusBucketFits(t *testing.T) {
	n := newNames(strings.Repeat("a", maxName))
	for _, region := range []string{"ap-southeast-1", "ap-northeast-3", "us-gov-west-1", "eu-isoe-west-1"} {
		if bucket := n.StatusBucket("123456789012", region); len(bucket) > 63 {
			t.Errorf("%s has %d characters", bucket, len(bucket))
		}
	}
}

// Both end in a region and a word, and a pipeline may be called x-status.
func TestNoPipelineHasTheStackOfAnothersStatusSite(t *testing.T) {
	if site, other := DefaultNames().StatusStack("eu-west-1"), newNames("spillway-status").Stack("eu-west-1"); site == other {
		t.Errorf("both stacks are called %s", site)
	}
}
