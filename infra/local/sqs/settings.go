package sqs

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settings are a queue's attributes, parsed. They are immutable: a queue gets new ones.
type settings struct {
	visibility time.Duration
	delay      time.Duration
	retention  time.Duration
	wait       time.Duration
	maxBytes   int
	redrive    *redrive
	raw        map[string]string // as set, without defaults
}

// redrive is the RedrivePolicy.
type redrive struct {
	target string // ARN
	max    uint64 // a message that was received this often is a dead letter
}

type integerRule struct{ min, max, value int } // value: the default

// integerRules are the settable attributes that are numbers (SQS API reference, SetQueueAttributes).
func integerRules() map[string]integerRule {
	return map[string]integerRule{
		"DelaySeconds":                  {0, maxDelay, 0},
		"MaximumMessageSize":            {minMessageLimit, maxMessageBytes, maxMessageBytes},
		"MessageRetentionPeriod":        {60, 1_209_600, 345_600},
		"ReceiveMessageWaitTimeSeconds": {0, maxWait, 0},
		"VisibilityTimeout":             {0, maxVisibility, 30},
		"KmsDataKeyReusePeriodSeconds":  {60, 86_400, 300},
	}
}

// textAttribute reports whether an attribute is only stored and returned.
func textAttribute(name string) bool {
	switch name {
	case "Policy", "KmsMasterKeyId", "SqsManagedSseEnabled":
		return true
	}
	return false
}

// apply returns s with attributes set. As in SQS, an empty policy removes it.
func (s *settings) apply(attributes map[string]string) (*settings, error) {
	raw := map[string]string{}
	if s != nil {
		raw = maps.Clone(s.raw)
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if err := setAttribute(raw, name, attributes[name]); err != nil {
			return nil, err
		}
	}
	return parseSettings(raw)
}

// setAttribute checks one attribute, but not the content of a policy, and sets it in raw.
func setAttribute(raw map[string]string, name, value string) error {
	rule, isInteger := integerRules()[name]
	switch {
	case isInteger:
		n, err := strconv.Atoi(value)
		if err != nil || n < rule.min || n > rule.max {
			return errInvalidAttributeValue("Invalid value for the parameter %s. Reason: Must be an integer from "+
				"%d to %d.", name, rule.min, rule.max)
		}
		raw[name] = strconv.Itoa(n)
	case name == "RedrivePolicy" || name == "RedriveAllowPolicy" || textAttribute(name):
		if value == "" {
			delete(raw, name)
		} else {
			raw[name] = value
		}
	case fifoAttribute(name):
		if name != "FifoQueue" || value != "false" {
			return errFIFO()
		}
	default:
		return errInvalidAttributeName(name)
	}
	return nil
}

// parseSettings parses attributes that setAttribute has checked.
func parseSettings(raw map[string]string) (*settings, error) {
	rules := integerRules()
	integer := func(name string) int {
		if v, ok := raw[name]; ok {
			n, _ := strconv.Atoi(v) // checked by setAttribute
			return n
		}
		return rules[name].value
	}
	s := &settings{
		visibility: time.Duration(integer("VisibilityTimeout")) * time.Second,
		delay:      time.Duration(integer("DelaySeconds")) * time.Second,
		retention:  time.Duration(integer("MessageRetentionPeriod")) * time.Second,
		wait:       time.Duration(integer("ReceiveMessageWaitTimeSeconds")) * time.Second,
		maxBytes:   integer("MaximumMessageSize"),
		raw:        raw,
	}
	if p, ok := raw["RedrivePolicy"]; ok {
		r, err := parseRedrive(p)
		if err != nil {
			return nil, err
		}
		s.redrive = r
	}
	if p, ok := raw["RedriveAllowPolicy"]; ok {
		if err := checkRedriveAllow(p); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func fifoAttribute(name string) bool {
	switch name {
	case "FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit":
		return true
	}
	return false
}

func errFIFO() error {
	return errUnsupported("FIFO queues are not supported by the SQS emulator: create a standard queue, without FIFO " +
		"attributes and with a name that does not end in .fifo.")
}

func parseRedrive(policy string) (*redrive, error) {
	var p struct {
		Target string          `json:"deadLetterTargetArn"`
		Max    json.RawMessage `json:"maxReceiveCount"`
	}
	const hint = `Invalid value for the parameter RedrivePolicy. Reason: `
	if err := json.Unmarshal([]byte(policy), &p); err != nil {
		return nil, errInvalidParameter("Value %s for parameter RedrivePolicy is invalid. Reason: Redrive policy is not a "+
			"valid JSON map.", policy)
	}
	if p.Target == "" || p.Max == nil {
		return nil, errInvalidParameter("Value %s for parameter RedrivePolicy is invalid. Reason: Redrive policy must "+
			"contain deadLetterTargetArn and maxReceiveCount.", policy)
	}
	// SDKs and CloudFormation write the number with and without quotes.
	n, err := strconv.ParseUint(strings.Trim(string(p.Max), `"`), 10, 64)
	if err != nil || n < 1 || n > maxReceiveCount {
		return nil, errInvalidParameter("Value %s for parameter RedrivePolicy is invalid. Reason: Invalid value for "+
			"maxReceiveCount: %s, valid values are from 1 to %d both inclusive.", policy, p.Max, maxReceiveCount)
	}
	if arnName(p.Target) == "" {
		return nil, errInvalidAttributeValue(hint+"deadLetterTargetArn %q is not the ARN of a queue.", p.Target)
	}
	return &redrive{target: p.Target, max: n}, nil
}

func checkRedriveAllow(policy string) error {
	var p struct {
		Permission string   `json:"redrivePermission"`
		Sources    []string `json:"sourceQueueArns"`
	}
	if err := json.Unmarshal([]byte(policy), &p); err != nil {
		return errInvalidAttributeValue("Invalid value for the parameter RedriveAllowPolicy. Reason: it is not a valid " +
			"JSON map.")
	}
	switch p.Permission {
	case "allowAll", "denyAll":
		return nil
	case "byQueue":
		if len(p.Sources) >= 1 && len(p.Sources) <= 10 {
			return nil
		}
	}
	return errInvalidAttributeValue("Invalid value for the parameter RedriveAllowPolicy. Reason: redrivePermission " +
		"must be allowAll, denyAll, or byQueue with 1 to 10 sourceQueueArns.")
}

// arnName returns the queue's name in an ARN, or "" if it is not the ARN of a queue.
func arnName(arn string) string {
	parts := strings.Split(arn, ":")
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "sqs" || !legalQueueName(parts[5]) {
		return ""
	}
	return parts[5]
}

// values returns the attributes of GetQueueAttributes that come from the settings.
func (s *settings) values() map[string]string {
	vs := map[string]string{"SqsManagedSseEnabled": "true"}
	for name, rule := range integerRules() {
		if name != "KmsDataKeyReusePeriodSeconds" {
			vs[name] = strconv.Itoa(rule.value)
		}
	}
	maps.Copy(vs, s.raw)
	return vs
}

// differs returns the first of names whose value differs in s and want.
func (s *settings) differs(want *settings, names []string) (string, bool) {
	have, wanted := s.values(), want.values()
	slices.Sort(names)
	for _, n := range names {
		if have[n] != wanted[n] {
			return n, true
		}
	}
	return "", false
}
