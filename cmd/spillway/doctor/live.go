package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spillwayhq/spillway/cmd/spillway/deployed"
	"github.com/spillwayhq/spillway/infra/topology"
	"github.com/spillwayhq/spillway/shared/signed"
)

// A live is the version of a function that is in use.
type live struct {
	alias   read[signed.Alias]
	version read[function] // that the alias names
}

// live reads which versions of the functions are in use.
func (r *reader) live(ctx context.Context) map[string]live {
	names := []string{r.names.DeliverFunction, r.names.IngestFunction}
	aliases := each(names, func(name string) read[signed.Alias] {
		return call(ctx, "lambda:GetAlias", func(ctx context.Context) (signed.Alias, error) {
			return signed.LiveAlias(ctx, r.config, name)
		})
	})
	versions := each(names, func(name string) read[function] {
		if aliases[name].err != nil {
			return read[function]{err: aliases[name].err}
		}
		return call(ctx, "lambda:GetFunctionConfiguration", func(ctx context.Context) (function, error) {
			return signed.Configuration(ctx, r.config, name+":"+topology.LiveAlias)
		})
	})
	all := map[string]live{}
	for _, name := range names {
		all[name] = live{aliases[name], versions[name]}
	}
	return all
}

// inUse is what Lambda says of the version that is in use, or of the function if it has no
// versions.
func (f *first) inUse(name string) read[function] {
	if l, ok := f.live[name]; ok && l.alias.err == nil && l.version.err == nil {
		return l.version
	}
	return f.functions[name]
}

// judgeLive says which version of a function is in use, and whether that is the one that was
// deployed last. sources are those of deliver.
func judgeLive(name string, l live, newest read[function], sources []eventSource) []Finding {
	check := "version of " + name
	feedsAlias := slices.ContainsFunc(sources, func(s eventSource) bool {
		return strings.HasSuffix(s.FunctionArn, ":function:"+name+":"+topology.LiveAlias)
	})
	feedsFunction := slices.ContainsFunc(sources, func(s eventSource) bool {
		return strings.HasSuffix(s.FunctionArn, ":function:"+name)
	})
	a := l.alias.value
	switch {
	case isMissing(newest.err): // which has a finding of its own
		return nil
	case isMissing(l.alias.err) && feedsAlias:
		return []Finding{finding(Failed, check, redeploy, "the event source feeds the alias %s, which does not exist",
			topology.LiveAlias)}
	case isMissing(l.alias.err): // a function URL, or an earlier version that made none
		return []Finding{ok(check, "it has none: what is deployed is in use at once")}
	case l.alias.err != nil:
		return []Finding{l.alias.unknown(check)}
	case l.version.err != nil:
		return []Finding{l.version.unknown(check)}
	case feedsFunction:
		return []Finding{finding(Failed, check, redeploy,
			"the event source feeds the function and not its alias %s, so that "+
				"a deployment replaces what runs at once", topology.LiveAlias)}
	case len(a.RoutingConfig.AdditionalVersionWeights) > 0:
		return []Finding{finding(Warning, check, "wait for the end of the deployment, some minutes; if it does not end, see "+
			"\"A deployment went back\" in docs/runbook.md", "%s, and %s", a.FunctionVersion, weights(a))}
	}
	is, was := newest.value, l.version.value
	if newest.err == nil && (is.CodeSha256 != was.CodeSha256 ||
		is.Environment.Variables[deployed.VarVersion] != was.Environment.Variables[deployed.VarVersion]) {
		return []Finding{finding(Warning, check, "see \"A deployment went back\" in docs/runbook.md",
			"%s (%s) is in use, and not what was deployed last (%s)", a.FunctionVersion,
			was.Environment.Variables[deployed.VarVersion], is.Environment.Variables[deployed.VarVersion])}
	}
	return []Finding{ok(check, "%s, the last that was deployed", a.FunctionVersion)}
}

// weights says which other versions get a share of the invocations.
func weights(a signed.Alias) string {
	var all []string
	for _, version := range slices.Sorted(maps.Keys(a.RoutingConfig.AdditionalVersionWeights)) {
		all = append(all, fmt.Sprintf("%s gets %.3g %% of the invocations", version,
			100*a.RoutingConfig.AdditionalVersionWeights[version]))
	}
	return strings.Join(all, ", ")
}
