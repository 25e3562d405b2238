package doctor

import (
	"context"
	"fmt"
	"strings"

	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/operator"
	"github.com/spillwayhq/spillway/shared/ssm"
)

const checkTraffic = "traffic"

// drained reads whether a person has taken the region out of the name that regions share.
func (r *reader) drained(ctx context.Context) read[operator.Mark] {
	return call(ctx, "ssm:GetParameter", func(ctx context.Context) (operator.Mark, error) {
		name := r.names.Parameter(topology.DrainedParameter)
		value, err := ssm.New(r.config).GetParameter(ctx, name, false)
		switch {
		case ssm.NotFound(err):
			return operator.Mark{}, nil
		case err != nil:
			return operator.Mark{}, err
		}
		m, err := operator.Parse([]byte(value.Text))
		if err != nil {
			return m, fmt.Errorf("the parameter %s is no mark: %w; spillway region restore removes it", name, err)
		}
		return m, nil
	})
}

// judgeTraffic says whether Route 53 leads traffic to the region, where several share a name;
// nothing where the alarms can't be read, which another check says, or do not belong to the
// deployment.
func judgeTraffic(t *topology.Topology, alarms read[map[string]alarm], drained read[operator.Mark],
	region string) []Finding {
	var missing, firing []string
	for i := range t.Routing {
		a, exists := alarms.value[t.Routing[i].Name]
		switch {
		case !exists:
			missing = append(missing, t.Routing[i].Name)
		case a.state == "ALARM":
			firing = append(firing, t.Routing[i].Name)
		}
	}
	switch {
	case len(t.Routing) == 0:
		return nil
	case drained.err != nil:
		return []Finding{drained.unknown(checkTraffic)}
	case drained.value.IsSet():
		return []Finding{finding(Warning, checkTraffic, "spillway region restore "+region+" --name "+t.Names.Pipeline+
			", once the reason is gone", "the region is drained %s", drained.value)}
	case alarms.err != nil:
		return nil
	case missing != nil:
		return []Finding{finding(Failed, checkTraffic, redeploy, "Route 53 can't see whether the region is well: there "+
			"is no alarm %s", strings.Join(missing, ", "))}
	case firing != nil:
		return []Finding{finding(Failed, checkTraffic, "see \"Several regions\" in docs/runbook.md",
			"where regions share a name, Route 53 leaves this one out: firing is %s", strings.Join(firing, ", "))}
	}
	return []Finding{ok(checkTraffic, "nobody has drained the region, and none of the alarms fires by which Route 53 "+
		"leaves it")}
}
