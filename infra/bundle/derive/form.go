package derive

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/spillwayhq/spillway/infra/bundle/template"
)

// parse reads a template that the CDK app made into the form in which templates are compared and
// merged: without what only the CDK's own deployment needs, with Fn::Sub in place of Fn::Join, and
// with logical IDs that are the same whatever the settings are.
func parse(content []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	var tree map[string]any
	if err := decoder.Decode(&tree); err != nil {
		return nil, fmt.Errorf("read a template of the CDK app: %w", err)
	}
	delete(tree, "Rules") // that the account is bootstrapped
	delete(tree, "Parameters")
	resources, _ := tree["Resources"].(map[string]any)
	renamed := map[string]string{}
	for _, id := range slices.Sorted(maps.Keys(resources)) {
		resource, _ := resources[id].(map[string]any)
		properties, _ := resource["Properties"].(map[string]any)
		switch resource["Type"] {
		case "AWS::Lambda::Function":
			folder := strings.ToLower(plainID(id))
			properties["Code"] = map[string]any{"S3Bucket": ref(template.BucketParameter),
				"S3Key": ref(template.CodeParameter(folder))}
		case "AWS::Lambda::Version":
			renamed[id] = template.VersionID(id)
		case "AWS::SNS::Subscription": // its ID has the address
			topic, _ := properties["TopicArn"].(map[string]any)
			renamed[id] = plainID(fmt.Sprint(topic["Ref"])) + "Email"
		case "AWS::Lambda::Permission": // its ID has the stack's name
			if before, _, ok := strings.Cut(id, "AllowEventRule"); ok {
				renamed[id] = before + "AllowEventRule"
			}
		}
	}
	out, _ := simplify(tree, renamed).(map[string]any)
	return out, nil
}

var idHash = regexp.MustCompile(`[0-9A-F]{8}$`)

// plainID is a logical ID without the hash that the CDK puts behind it.
func plainID(id string) string { return idHash.ReplaceAllString(id, "") }

func ref(name string) map[string]any { return map[string]any{"Ref": name} }

// simplify renames logical IDs and puts Fn::Sub, or a text, in place of Fn::Join where it can.
func simplify(value any, renamed map[string]string) any {
	switch value := value.(type) {
	case []any:
		for i := range value {
			value[i] = simplify(value[i], renamed)
		}
	case map[string]any:
		out := map[string]any{}
		for key, part := range value {
			if id, ok := renamed[key]; ok {
				key = id
			}
			out[key] = simplify(part, renamed)
		}
		if text, ok := asText(out); ok {
			return fromText(text)
		}
		return out
	case string:
		if id, ok := renamed[value]; ok {
			return id
		}
		for id, name := range renamed { // in texts of Fn::Sub
			value = strings.ReplaceAll(value, "${"+id+".", "${"+name+".")
		}
		return strings.ReplaceAll(value, "go run ./cmd/spillway", "spillway") // in the output Command
	}
	return value
}

// asText is the text of Fn::Sub that is the same as an intrinsic function.
func asText(value any) (text string, ok bool) {
	if s, ok := value.(string); ok {
		return strings.ReplaceAll(s, "${", "${!"), true
	}
	object, _ := value.(map[string]any)
	if len(object) != 1 {
		return "", false
	}
	switch {
	case object["Ref"] != nil:
		return "${" + fmt.Sprint(object["Ref"]) + "}", true
	case object["Fn::GetAtt"] != nil:
		at, _ := object["Fn::GetAtt"].([]any)
		if len(at) != 2 {
			return "", false
		}
		return fmt.Sprintf("${%v.%v}", at...), true
	case object["Fn::Sub"] != nil:
		text, ok := object["Fn::Sub"].(string)
		return text, ok
	case object["Fn::Join"] != nil:
		join, _ := object["Fn::Join"].([]any)
		if len(join) != 2 {
			return "", false
		}
		parts, _ := join[1].([]any)
		var texts []string
		for _, part := range parts {
			text, ok := asText(part)
			if !ok {
				return "", false
			}
			texts = append(texts, text)
		}
		return strings.Join(texts, strings.ReplaceAll(fmt.Sprint(join[0]), "${", "${!")), true
	}
	return "", false
}

var (
	wholeToken = regexp.MustCompile(`^\$\{([A-Za-z0-9:]+)(?:\.([A-Za-z0-9.]+))?\}$`)
	anyToken   = regexp.MustCompile(`\$\{[^!]`)
)

// fromText is the shortest value that is the same as a text of Fn::Sub.
func fromText(text string) any {
	if m := wholeToken.FindStringSubmatch(text); m != nil {
		if m[2] != "" {
			return map[string]any{"Fn::GetAtt": []any{m[1], m[2]}}
		}
		return ref(m[1])
	}
	if anyToken.MatchString(text) {
		return map[string]any{"Fn::Sub": text}
	}
	return strings.ReplaceAll(text, "${!", "${")
}
