{{- /* The pod of the Job and of the CronJob. Takes a dict: root, component, command. */ -}}
{{- define "rdsprov.pod" -}}
{{- $root := .root -}}
metadata:
  labels:
    app.kubernetes.io/name: rdsprov
    app.kubernetes.io/component: {{ .component }}
spec:
  serviceAccountName: {{ $root.Release.Name }}
  restartPolicy: Never
  {{- if eq .command "apply" }}
  # The run ends its statement and records the result after SIGTERM.
  terminationGracePeriodSeconds: 60
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    seccompProfile: {type: RuntimeDefault}
  containers:
    - name: rdsprov
      {{- with $root.Values.image }}
      {{- if .digest }}
      image: {{ printf "%s@%s" .repository .digest | quote }}
      {{- else }}
      image: {{ printf "%s:%s" .repository (.tag | default $root.Chart.AppVersion) | quote }}
      {{- end }}
      {{- end }}
      args:
        - {{ .command }}
        {{- range $name, $text := $root.Values.definitions }}
        {{- if eq $name "rdsprov.toml" }}
        - --config
        {{- else }}
        - -d
        {{- end }}
        - /definitions/{{ $name }}
        {{- end }}
      envFrom:
        - configMapRef: {name: {{ $root.Release.Name }}-environment}
      {{- if eq .command "apply" }}
      env:
        - name: RDSPROV_RUN_ID
          valueFrom:
            fieldRef: {fieldPath: metadata.name}
      {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      {{- with $root.Values.resources }}
      resources: {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        - {name: definitions, mountPath: /definitions, readOnly: true}
  volumes:
    - name: definitions
      configMap: {name: {{ $root.Release.Name }}-definitions}
{{- end }}
