;; A person at Emacs with eglot, in batch: opens FILE, picks the code action TITLE at LINE, waits for the edit, writes.
(require 'eglot)

;; as the README says
(add-to-list 'eglot-server-programs '((python-mode python-ts-mode) . ("soa" "serve")))

;; there is no repository to find the project's root by
(setq project-find-functions (list (lambda (_) (cons 'transient (file-name-as-directory (getenv "SOA_ROOT"))))))

;; nobody is there to be asked
(setq eglot-confirm-server-initiated-edits nil
      eglot-sync-connect 120
      eglot-connect-timeout 120
      jsonrpc-default-request-timeout 60)

(defvar soa-failed nil "What the server said of a job that ended without an edit.")

(cl-defmethod eglot-handle-notification (_server (_method (eql soa/job)) &key state message &allow-other-keys)
  (when (member state '("failed" "refused" "cancelled")) (setq soa-failed message)))

(defun soa-fail (why)
  (message "%s" why)
  (kill-emacs 1))

(defun soa-wait (what seconds holds)
  (let ((end (+ (float-time) seconds)))
    (while (not (funcall holds))
      (when soa-failed (soa-fail (concat "the job ended: " soa-failed)))
      (when (> (float-time) end) (soa-fail (format "not within %s s: %s" seconds what)))
      (accept-process-output nil 0.05))))

(find-file (getenv "SOA_FILE"))
(call-interactively #'eglot)
(soa-wait "the server is ready" 120 #'eglot-current-server)
(goto-char (point-min))
(forward-line (1- (string-to-number (getenv "SOA_LINE"))))
(forward-char 4)
(let* ((actions (eglot-code-actions (point) (point)))
       (titles (mapcar (lambda (action) (plist-get action :title)) actions))
       (picked (nth (or (seq-position titles (getenv "SOA_TITLE")) (soa-fail (format "offered were %s" titles))) actions))
       (command (plist-get picked :command)))
  (eglot-execute-command (eglot-current-server) (intern (plist-get command :command)) (plist-get command :arguments)))
(soa-wait "the edit is in the buffer" 120 #'buffer-modified-p)
(save-buffer)
(eglot-shutdown (eglot-current-server))
