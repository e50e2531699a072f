;;; scrubjay.el --- Ghost text from a local model  -*- lexical-binding: t; -*-

;; Copyright (C) 2026 The Scrubjay authors
;; SPDX-License-Identifier: MIT

;; Author: The Scrubjay authors
;; Maintainer: The Scrubjay authors
;; Version: 0.1.0
;; Package-Requires: ((emacs "28.1"))
;; Keywords: convenience, tools
;; URL: https://github.com/scrubjay/scrubjay

;;; Commentary:

;; Scrubjay is a daemon that keeps your project's context warm in a local
;; model.  With `scrubjay-mode', what the model would write next is shown as
;; ghost text after the cursor while you type:
;;
;;     (add-hook 'prog-mode-hook #'scrubjay-mode)
;;
;; or `global-scrubjay-mode'.  While there is ghost text, and only then, TAB
;; accepts it; `scrubjay-ghost-map' has the other keys.
;;
;; Loading this file changes nothing: no hook, no advice, no key.

;;; Code:

(require 'cl-lib)
(require 'scrubjay-server)
(eval-when-compile (require 'subr-x))

(defvar company-candidates)
(defvar evil-state)
(defvar scrubjay-mode)

(autoload 'scrubjay-status "scrubjay-status" "Show what Scrubjay has in its context, and what it cost." t)
(autoload 'scrubjay-diagnose "scrubjay-status" "Find out what is wrong with Scrubjay." t)

;;;; Customization

(defgroup scrubjay nil
  "Ghost text from a local model."
  :group 'convenience
  :prefix "scrubjay-")

(defcustom scrubjay-auto t
  "Whether ghost text comes by itself as you type.
If nil, \\[scrubjay-complete] asks for it.  \\[scrubjay-toggle] switches it in one buffer."
  :type 'boolean
  :package-version '(scrubjay . "0.1.0"))

(defcustom scrubjay-delay 0.05
  "Seconds between a change and the question what comes next.
A key that comes sooner puts the question off; nothing waits for it."
  :type 'number
  :package-version '(scrubjay . "0.1.0"))

(defcustom scrubjay-inhibit-functions '(scrubjay-menu-open-p scrubjay-commanding-p scrubjay-busy-p)
  "Functions that say where ghost text is not to come by itself.
They are called with no argument.  If one returns non-nil, no ghost text
comes, and that which is there goes.  Asking with \\[scrubjay-complete]
works all the same."
  :type 'hook
  :package-version '(scrubjay . "0.1.0"))

(defface scrubjay-ghost '((t :inherit shadow :slant italic))
  "Ghost text."
  :package-version '(scrubjay . "0.1.0"))

;;;; Keys

(defvar scrubjay-ghost-map
  (let ((map (make-sparse-keymap)))
    (define-key map (kbd "TAB") #'scrubjay-accept)
    (define-key map (kbd "<tab>") #'scrubjay-accept)
    (define-key map (kbd "M-<right>") #'scrubjay-accept-word)
    (define-key map [remap forward-word] #'scrubjay-accept-word)
    (define-key map (kbd "M-<down>") #'scrubjay-accept-line)
    (define-key map [remap move-end-of-line] #'scrubjay-accept-line)
    (define-key map [remap zap-to-char] #'scrubjay-accept-to-char)
    (define-key map (kbd "M-n") #'scrubjay-next)
    (define-key map (kbd "M-p") #'scrubjay-previous)
    (define-key map [remap keyboard-quit] #'scrubjay-dismiss)
    map)
  "Keys while ghost text is shown, and at no other time.")

;;;; Ghost text

(cl-defstruct (scrubjay--ghost (:constructor scrubjay--make-ghost) (:copier nil))
  "Texts offered for a place."
  (items nil :documentation "Conses of a text and the number by which the server knows it.")
  (index 0 :documentation "Which of them is shown.")
  (start nil :documentation "Where they were offered.")
  (size nil :documentation "The buffer's size then.")
  (tail nil :documentation "What stood between that place and the end of its line."))

(defvar-local scrubjay--ghost nil
  "What is offered in this buffer, or nil.")

(defvar-local scrubjay--overlay nil
  "The overlay that shows ghost text.")

(defvar-local scrubjay--showing nil
  "Non-nil while ghost text is shown.
It makes the keys of `scrubjay-ghost-map' active.")

(defvar-local scrubjay--tick 0
  "The buffer's tick after the last command.")

(defvar-local scrubjay--asked nil
  "The last question: tick, point, whether it was explicit.
And, as the fourth, when it was answered with nothing, or nil.")

(defvar scrubjay--timer nil
  "Asks when no key has come for `scrubjay-delay' seconds.")

(defun scrubjay--item (ghost)
  "Return the item of GHOST that is shown."
  (nth (scrubjay--ghost-index ghost) (scrubjay--ghost-items ghost)))

(defun scrubjay--typed (ghost)
  "Return what was typed since GHOST was offered, nil if it no longer fits there.
It fits if nothing else has changed and the cursor is behind what was typed."
  (let* ((start (scrubjay--ghost-start ghost))
         (n-typed (- (point) start)))
    (and (>= n-typed 0)
         (>= start (point-min))
         (= (buffer-size) (+ (scrubjay--ghost-size ghost) n-typed))
         (string= (scrubjay--ghost-tail ghost) (scrubjay--tail))
         (buffer-substring-no-properties start (point)))))

(defun scrubjay--tail ()
  "Return the text between the cursor and the end of its line."
  (buffer-substring-no-properties (point) (line-end-position)))

(defun scrubjay--rest (ghost)
  "Return what is left of GHOST after what was typed, or nil if nothing is.
The text to show becomes another one if only that continues what was typed."
  (when-let ((typed (scrubjay--typed ghost))
             (n (length typed))
             (index (scrubjay--index-with ghost typed)))
    (setf (scrubjay--ghost-index ghost) index)
    (substring (car (scrubjay--item ghost)) n)))

(defun scrubjay--index-with (ghost typed)
  "Return the index of a text in GHOST that continues TYPED.
That is the shown one if possible."
  (let ((fits (lambda (item) (and (string-prefix-p typed (car item))
                                  (> (length (car item)) (length typed))))))
    (if (funcall fits (scrubjay--item ghost))
        (scrubjay--ghost-index ghost)
      (cl-position-if fits (scrubjay--ghost-items ghost)))))

(defun scrubjay--refresh ()
  "Show what is left of the offer where the cursor is, or nothing."
  (when scrubjay--ghost
    (if-let ((rest (and (not (scrubjay--inhibited-p)) (scrubjay--rest scrubjay--ghost))))
        (scrubjay--draw rest)
      (scrubjay--hide))))

(defun scrubjay--draw (text)
  "Show TEXT as ghost text at the cursor."
  (unless (overlayp scrubjay--overlay)
    (setq scrubjay--overlay (make-overlay (point) (point) nil t)))
  (move-overlay scrubjay--overlay (point) (point))
  (overlay-put scrubjay--overlay 'priority 100)
  (overlay-put scrubjay--overlay 'window (selected-window))
  (overlay-put scrubjay--overlay 'after-string (scrubjay--ghostly text))
  (setq scrubjay--showing t))

(defun scrubjay--ghostly (text)
  "Return TEXT as it is shown: with the cursor before it."
  (let ((string (propertize text 'face 'scrubjay-ghost)))
    (put-text-property 0 1 'cursor t string)
    string))

(defun scrubjay--hide ()
  "Show no ghost text."
  (setq scrubjay--ghost nil
        scrubjay--showing nil)
  (when (overlayp scrubjay--overlay)
    (delete-overlay scrubjay--overlay)))

(defun scrubjay--offer (items index)
  "Offer ITEMS at the cursor and show the one at INDEX."
  (setq scrubjay--ghost (scrubjay--make-ghost :items items :index index :start (point)
                                              :size (buffer-size) :tail (scrubjay--tail)))
  (scrubjay--draw (car (nth index items)))
  (scrubjay-server-notify :textDocument/didShowCompletion
                          `(:item (:command (:arguments [,(cdr (nth index items))])))))

;;;; Where it comes by itself

(defun scrubjay-menu-open-p ()
  "Return non-nil if a completion menu is open: it has the keys, and the place."
  (or (bound-and-true-p completion-in-region-mode)
      (bound-and-true-p company-candidates)))

(defun scrubjay-commanding-p ()
  "Return non-nil if keys do not insert text: Evil is in another state than insert."
  (and (bound-and-true-p evil-local-mode)
       (not (memq evil-state '(insert emacs replace)))))

(defun scrubjay-busy-p ()
  "Return non-nil if text comes from elsewhere, or cannot be inserted."
  (or executing-kbd-macro
      buffer-read-only
      (bound-and-true-p multiple-cursors-mode)
      (use-region-p)))

(defun scrubjay--inhibited-p ()
  "Return the function that wants no ghost text here, or nil."
  (run-hook-wrapped 'scrubjay-inhibit-functions
                    (lambda (function) (and (funcall function) function))))

;;;; Asking

(defun scrubjay--schedule ()
  "Ask when no key has come for a moment."
  (when scrubjay--timer
    (cancel-timer scrubjay--timer))
  (setq scrubjay--timer (run-with-timer scrubjay-delay nil #'scrubjay--ask-unless-stale
                                        (current-buffer) (buffer-chars-modified-tick) (point))))

(defun scrubjay--here-p (buffer tick point)
  "Return non-nil if the user still is in BUFFER, at POINT, and its tick is TICK."
  (and (buffer-live-p buffer)
       (eq buffer (window-buffer (selected-window)))
       (with-current-buffer buffer
         (and (= tick (buffer-chars-modified-tick)) (= point (point))))))

(defun scrubjay--ask-unless-stale (buffer tick point)
  "Send what has changed in BUFFER, and ask what comes next at POINT.
But do nothing if the tick is not TICK any more."
  (with-demoted-errors "Scrubjay: %S"
    (when (scrubjay--here-p buffer tick point)
      (with-current-buffer buffer
        (when scrubjay-mode
          (if (and scrubjay-auto (not scrubjay--ghost) (not (scrubjay--inhibited-p)))
              (scrubjay--ask nil #'scrubjay--take)
            (scrubjay-server-sync)))))))

(defun scrubjay--ask (invoked take)
  "Ask what comes next at the cursor; call TAKE with the items of the answer.
INVOKED: the user has asked, so several items may come.  An answer that comes
when the buffer or the cursor is not as it was is dropped."
  (let* ((buffer (current-buffer))
         (tick (buffer-chars-modified-tick))
         (point (point))
         (asked (setq scrubjay--asked (list tick point invoked nil))))
    (when (scrubjay-server-sync)
      (scrubjay-server-request
       :textDocument/inlineCompletion
       (scrubjay--question invoked)
       (lambda (answer)
         (when (scrubjay--here-p buffer tick point)
           (with-current-buffer buffer
             (let ((items (scrubjay--items answer)))
               (unless items
                 (setf (nth 3 asked) (float-time)))
               (when scrubjay-mode
                 (funcall take items))))))))))

(defun scrubjay--question (invoked)
  "Return the parameters of a question about the cursor's place; INVOKED as above."
  `( :textDocument (:uri ,(scrubjay-server-uri))
     :position ,(scrubjay-server-position (point))
     :context (:triggerKind ,(if invoked 1 2))))

(defun scrubjay--items (answer)
  "Return the items of the server's ANSWER."
  (cl-loop for item across (or (plist-get answer :items) [])
           for text = (plist-get item :insertText)
           for arguments = (plist-get (plist-get item :command) :arguments)
           when (and (stringp text) (not (string-empty-p text)))
           collect (cons text (and (> (length arguments) 0) (aref arguments 0)))))

(defun scrubjay--take (items)
  "Offer ITEMS, if there are any and nothing speaks against it."
  (when (and items (not (scrubjay--inhibited-p)))
    (scrubjay--offer items 0)))

(defun scrubjay--take-invoked (items)
  "Offer ITEMS, for which the user has asked."
  (if items
      (scrubjay--offer items 0)
    (message "Scrubjay has nothing to say here.")))

(defun scrubjay--ask-again ()
  "Ask once more what has had no answer, now that there may be one."
  (with-current-buffer (window-buffer (selected-window))
    (when (and scrubjay-mode (not scrubjay--ghost))
      (pcase scrubjay--asked
        (`(,tick ,point ,invoked ,answered)
         (when (or (null answered) (< (- (float-time) answered) 3))
           (if (and invoked (scrubjay--here-p (current-buffer) tick point))
               (scrubjay--ask t #'scrubjay--take-invoked)
             (scrubjay--ask-unless-stale (current-buffer) tick point))))))))

;;;; What happens in the buffer

(defun scrubjay--post-command ()
  "Move or hide ghost text, and ask for more after a change.  Waits for nothing."
  (with-demoted-errors "Scrubjay: %S"
    (scrubjay--refresh)
    (let ((tick (buffer-chars-modified-tick)))
      (unless (= tick scrubjay--tick)
        (setq scrubjay--tick tick)
        (scrubjay--schedule)))))

;; An error in these two would make Emacs drop every function that watches changes, other packages' too.

(defun scrubjay--before-change (start end)
  "The text from START to END is about to change."
  (with-demoted-errors "Scrubjay: %S"
    (scrubjay-server-before-change start end)))

(defun scrubjay--after-change (start end length)
  "The LENGTH characters at START are now those up to END."
  (with-demoted-errors "Scrubjay: %S"
    (scrubjay-server-after-change start end length)))

(defun scrubjay--after-save ()
  "The buffer was saved."
  (with-demoted-errors "Scrubjay: %S"
    (scrubjay-server-saved)))

(defun scrubjay--selected (window)
  "WINDOW, with this buffer in it, was selected, or no longer is."
  (with-demoted-errors "Scrubjay: %S"
    (if (eq window (selected-window))
        (with-current-buffer (window-buffer window)
          (scrubjay-server-focused))
      (scrubjay--hide))))

(defun scrubjay--menu-changed (&rest _)
  "A completion menu has opened or closed."
  (when (scrubjay-menu-open-p)
    (scrubjay--hide)))

(defun scrubjay--turn-off ()
  "Turn `scrubjay-mode' off, as before a change of major mode."
  (scrubjay-mode -1))

(defconst scrubjay--hooks
  '((before-change-functions . scrubjay--before-change)
    (after-change-functions . scrubjay--after-change)
    (post-command-hook . scrubjay--post-command)
    (after-save-hook . scrubjay--after-save)
    (after-revert-hook . scrubjay-server-mark-lost)
    (kill-buffer-hook . scrubjay-server-close)
    (change-major-mode-hook . scrubjay--turn-off)
    (window-selection-change-functions . scrubjay--selected)
    (completion-in-region-mode-hook . scrubjay--menu-changed)
    (company-completion-started-hook . scrubjay--menu-changed))
  "What `scrubjay-mode' watches, in its buffer only.")

;;;; Modes

(defun scrubjay--lighter ()
  "Return what stands in the mode line: ready, warming or off."
  (format " Scrubjay:%s" (if scrubjay-auto (scrubjay-server-state) 'off)))

;;;###autoload
(define-minor-mode scrubjay-mode
  "Show what a local model would write next as ghost text.
While it is shown, these keys are active:
\\{scrubjay-ghost-map}"
  :lighter (:eval (scrubjay--lighter))
  (if scrubjay-mode
      (scrubjay--begin)
    (scrubjay--end)))

(defun scrubjay--begin ()
  "Watch this buffer."
  (pcase-dolist (`(,hook . ,function) scrubjay--hooks)
    (add-hook hook function nil t))
  (add-hook 'scrubjay-server-ready-functions #'scrubjay--ask-again)
  ;; Here, open menus come first and other minor modes after.
  (setq-local minor-mode-overriding-map-alist
              (cons (cons 'scrubjay--showing scrubjay-ghost-map)
                    (assq-delete-all 'scrubjay--showing minor-mode-overriding-map-alist)))
  (setq scrubjay--tick (buffer-chars-modified-tick))
  (scrubjay-server-sync))

(defun scrubjay--end ()
  "Leave this buffer alone."
  (scrubjay--hide)
  (pcase-dolist (`(,hook . ,function) scrubjay--hooks)
    (remove-hook hook function t))
  (setq-local minor-mode-overriding-map-alist
              (assq-delete-all 'scrubjay--showing minor-mode-overriding-map-alist))
  (scrubjay-server-close))

(defun scrubjay--turn-on ()
  "Turn `scrubjay-mode' on if this buffer has a file on this machine."
  (when (and buffer-file-name (not (file-remote-p buffer-file-name)))
    (scrubjay-mode 1)))

;;;###autoload
(define-globalized-minor-mode global-scrubjay-mode scrubjay-mode scrubjay--turn-on
  :group 'scrubjay
  :predicate '(prog-mode conf-mode text-mode))

;;;; Commands

;;;###autoload
(defun scrubjay-complete ()
  "Ask for ghost text at the cursor, and for alternatives."
  (interactive)
  (unless scrubjay-mode
    (user-error "Turn on `scrubjay-mode' first"))
  (unless buffer-file-name
    (user-error "Only buffers that visit a file are completed"))
  (scrubjay--hide)
  (scrubjay--ask t #'scrubjay--take-invoked))

(defun scrubjay-toggle ()
  "Switch in this buffer whether ghost text comes by itself."
  (interactive)
  (setq-local scrubjay-auto (not scrubjay-auto))
  (unless scrubjay-auto
    (scrubjay--hide))
  (force-mode-line-update)
  (message "Scrubjay shows ghost text %s." (if scrubjay-auto "by itself" "when asked")))

(defun scrubjay-dismiss ()
  "Hide the ghost text; it does not come back at this place unasked."
  (interactive)
  (when scrubjay--ghost
    (scrubjay-server-execute "scrubjay.reject" (cdr (scrubjay--item scrubjay--ghost)))
    (scrubjay--hide)))

(defun scrubjay-restart ()
  "Start the language server anew; the daemon and its warm context live on."
  (interactive)
  (scrubjay-server-restart))

(defun scrubjay-warm ()
  "Have the project's context made ready for the cursor's place."
  (interactive)
  (if (scrubjay-server-sync)
      (scrubjay-server-request :workspace/executeCommand
                               `( :command "scrubjay.warm"
                                  :arguments [,(scrubjay-server-uri) ,(scrubjay-server-position (point))])
                               (lambda (_) (message "Scrubjay is warm here."))
                               (lambda (problem) (message "Scrubjay is not warm: %s" problem)))
    (user-error "%s" (or (scrubjay-server-message) "Scrubjay is starting; try again"))))

(defun scrubjay-accept ()
  "Insert the ghost text."
  (interactive "*")
  (scrubjay--accept #'length))

(defun scrubjay-accept-word (n)
  "Insert the first N words of the ghost text."
  (interactive "*p")
  (scrubjay--accept (apply-partially #'scrubjay--n-words (max n 1) (syntax-table))))

(defun scrubjay-accept-line (n)
  "Insert the first N lines of the ghost text."
  (interactive "*p")
  (scrubjay--accept (apply-partially #'scrubjay--n-lines (max n 1))))

(defun scrubjay-accept-to-char (char)
  "Insert the ghost text up to and with the first CHAR in it."
  (interactive "*cAccept to char: ")
  (scrubjay--accept
   (lambda (text)
     (1+ (or (cl-position char text)
             (user-error "There is no %c in the ghost text" char))))))

(defun scrubjay--n-words (n syntax text)
  "Return how many characters the first N words of TEXT take.
SYNTAX is the syntax table."
  (with-temp-buffer
    (set-syntax-table syntax)
    (insert text)
    (goto-char (point-min))
    (forward-word n)
    (1- (point))))

(defun scrubjay--n-lines (n text)
  "Return how many characters the first N lines of TEXT take.
Empty lines are not counted."
  (string-match (format "\\`\\(?:[ \t\n]*[^\n]*\\)\\{%d\\}" n) text)
  (match-end 0))

(defun scrubjay--accept (n-characters)
  "Insert the first characters of the ghost text.
N-CHARACTERS is called with it to get their number."
  (let ((rest (and scrubjay--ghost (scrubjay--rest scrubjay--ghost))))
    (unless rest
      (user-error "There is no ghost text here"))
    (let ((n (funcall n-characters rest))
          (ghost scrubjay--ghost))
      (insert (substring rest 0 n))
      (if (= n (length rest))
          (scrubjay--accepted ghost)
        (scrubjay--accepted-in-part ghost)))))

(defun scrubjay--accepted (ghost)
  "GHOST has been inserted to its end."
  (scrubjay--hide)
  (when (scrubjay-server-sync)
    (scrubjay-server-execute "scrubjay.accept" (cdr (scrubjay--item ghost)))))

(defun scrubjay--accepted-in-part (ghost)
  "GHOST has been inserted in part."
  (scrubjay--refresh)
  (let ((accepted (buffer-substring-no-properties (scrubjay--ghost-start ghost) (point))))
    (scrubjay-server-notify :textDocument/didPartiallyAcceptCompletion
                            `( :item (:command (:arguments [,(cdr (scrubjay--item ghost))]))
                               ;; In UTF-16 units, whatever positions are in.
                               :acceptedLength ,(/ (length (encode-coding-string accepted 'utf-16le)) 2)))))

(defun scrubjay-next (n)
  "Show the Nth next alternative."
  (interactive "p")
  (unless scrubjay--ghost
    (user-error "There is no ghost text here"))
  (if (cdr (scrubjay--ghost-items scrubjay--ghost))
      (scrubjay--show-other n)
    (scrubjay--ask t (apply-partially #'scrubjay--take-more n))))

(defun scrubjay-previous (n)
  "Show the Nth previous alternative."
  (interactive "p")
  (scrubjay-next (- n)))

(defun scrubjay--show-other (n)
  "Show the text that is N after the shown one, among those that still fit."
  (let* ((ghost scrubjay--ghost)
         (shown (scrubjay--item ghost))
         (items (scrubjay--left-of ghost))
         (index (or (cl-position (cdr shown) items :key #'cdr :test #'equal) 0)))
    (when items
      (scrubjay--offer items (mod (+ index n) (length items))))))

(defun scrubjay--left-of (ghost)
  "Return what is left of each text of GHOST that still fits."
  (let ((typed (or (scrubjay--typed ghost) "")))
    (cl-loop for (text . number) in (scrubjay--ghost-items ghost)
             when (and (string-prefix-p typed text) (> (length text) (length typed)))
             collect (cons (substring text (length typed)) number))))

(defun scrubjay--take-more (n items)
  "Offer ITEMS beside what is shown, and show the one that is N after it."
  (let* ((shown (and scrubjay--ghost (scrubjay--left-of scrubjay--ghost)))
         (all (cl-remove-duplicates (append shown items) :key #'car :test #'equal :from-end t)))
    (cond ((cdr all) (scrubjay--offer all (mod n (length all))))
          (t (message "Scrubjay has nothing else to say here.")))))

(provide 'scrubjay)
;;; scrubjay.el ends here
